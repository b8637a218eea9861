# For the benchmarks of llmcf serve: a snapshot of random weights in two generations, a server of it, and its end.
set -u
bin=$(cd "$bin" && pwd) || exit 2
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 LCF_BIN_DIR=$bin
LLMCF=$bin/llmcf
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill -CONT $server 2>/dev/null
    [ -z "$server" ] || kill -TERM $server 2>/dev/null
    wait
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "FAILED: $*" >&2
    tail -5 "$work/log" >&2
    exit 1
}
# make_snapshots USERS ITEMS ROWS_PER_USER EXAMPLES DIM: $work/snapshots with the generations a and b; `current` is a
make_snapshots() {
    "$bin/make_world" "$work/world" "$@" || fail make_world
    local generation
    for generation in b a; do
        "$LLMCF" publish --quiet --dataset "$work/world/dataset" --vectors "$work/world/vectors" --examples "$work/world/examples" \
            --cot "$work/world/cot" --arm din="$work/world/din.lcf" --arm din-ict="$work/world/ict.lcf" --root "$work/snapshots" \
            --generation $generation --force 2>"$work/log" || fail publish
    done
}
switch_to() { ln -s "$1" "$work/snapshots/next" && mv -T "$work/snapshots/next" "$work/snapshots/current"; }
# start_server OPTION...: url is where it listens
start_server() {
    "$bin/llmcf-serve" --snapshot "$work/snapshots" --listen 127.0.0.1:0 "$@" 2>"$work/log" &
    server=$!
    local i
    for i in $(seq 600); do
        url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' "$work/log")
        [ -n "$url" ] && return 0
        sleep 0.1
    done
    fail "it does not start"
}
metric() { curl -s --max-time 20 "$url/metrics" | sed -n "s/^$1 //p"; }
