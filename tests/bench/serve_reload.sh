#!/bin/bash
# What reloads cost those who ask: p99 of a steady load, and of the same load while `current` moves every 2 seconds. One worker, 100
# candidates, DIN + ICT, examples and rate as asked for; the machine's second core is the client's and the reloader's.
#
#     tests/bench/serve_reload.sh BIN_DIR [RATE [SECONDS [EXAMPLES]]]   CSV on stdout: name,value,unit (default 50, 20, 5000)
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1
rate=${2:-50} seconds=${3:-20} examples=${4:-5000}
. "$(dirname "$0")/serve_lib.sh"
make_snapshots $((examples / 20)) 5000 30 $examples 128
start_server --threads 1
load() {
    "$LLMCF" load --target "$url" --snapshot "$work/snapshots" --candidates 100 --rate $rate --duration $seconds --warm-up 2 --limit 10000 \
        --connections 8 --json >"$work/$1.json" 2>"$work/$1.err"
    jq -e '.failed == 0 and .codes["200"] == .sent' "$work/$1.json" >/dev/null || fail "$1: $(cat "$work/$1.err" "$work/$1.json")"
}
load steady
(
    next=b
    while sleep 2; do
        switch_to $next
        next=$([ $next = a ] && echo b || echo a)
    done
) &
mover=$!
before=$(metric llmcf_reloads_total)
load reloading
after=$(metric llmcf_reloads_total)
kill $mover
[ $((after - before)) -ge $((seconds / 3)) ] || fail "only $((after - before)) reloads"
for which in steady reloading; do
    jq -r --arg n $which '"serve_reload.\($n).p50,\(.latency_ms.p50),ms\nserve_reload.\($n).p99,\(.latency_ms.p99),ms"' "$work/$which.json"
done
echo "serve_reload.reloads,$((after - before)),"
jq -rs '"serve_reload.p99_ratio,\(.[1].latency_ms.p99 / .[0].latency_ms.p99 * 1000 | round / 1000),"' "$work/steady.json" "$work/reloading.json"
