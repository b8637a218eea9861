# For the tests of llmcf serve: a world and its snapshot "one", a server in the background, and questions by curl.
set -u
server=
fail() {
    echo "FAILED: $*" >&2
    cat log >&2
    [ -z "$server" ] || kill -KILL $server
    exit 1
}
command -v curl >/dev/null && command -v jq >/dev/null || { echo "curl and jq are needed" >&2; exit 77; }
: >log
"$LCF_BIN_DIR/make_world" world || fail make_world
publish() {
    "$LLMCF" publish --quiet --dataset world/dataset --vectors world/vectors --examples world/examples --cot world/cot \
        --arm din=world/din.lcf --arm din-ict=world/ict.lcf --root snapshots --force "$@" 2>>log || fail publish
}
publish --generation one
wait_for() { # until the command succeeds, 60 s
    for _ in $(seq 1200); do
        "$@" && return 0
        kill -0 $server 2>/dev/null || fail "the server has ended"
        sleep 0.05
    done
    return 1
}
# started [TEXT]: the server says where it listens; url is set to its TCP address
started() {
    wait_for grep -q "${1:-listening on http://}" log || fail "it does not say where it listens"
    url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' log | tail -1)
}
ask() { curl -s -o answer -w '%{http_code}' --max-time 10 "$@"; }
serves() { [ "$(curl -s --max-time 5 "$url/healthz" | jq -r .generation)" = "$1" ]; }
stop() {
    kill -TERM $server
    wait $server || fail "SIGTERM ended it with an error"
    server=
}
