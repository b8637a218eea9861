#!/bin/bash
# A server among faults: a load that does not wait, reloads every 2 seconds, clients that send garbage, that drip, that go away in the
# middle, and a process that is stopped and goes on. No crash, every answer right, every request of the load answered, and memory flat.
#
#     tests/bench/serve_faults.sh BIN_DIR [SECONDS [RATE [GROWTH]]]   CSV on stdout: name,value,unit
#
# SECONDS default 600, RATE 50 requests a second, GROWTH 0.02: how much larger resident memory may be at the end than after the first
# fifth (the smallest of each second is taken: while snapshots are exchanged both are there).
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1
seconds=${2:-600} rate=${3:-50} growth=${4:-0.02}
. "$(dirname "$0")/serve_lib.sh"
make_snapshots 60 300 20 600 32
start_server --threads 2 --unix "$work/s" --request-timeout 2 --max-body 100000 --request-log "$work/requests.jsonl" --log-bytes 1000000
"$LLMCF" load --target "$url" --snapshot "$work/snapshots" --candidates 50 --rate "$rate" --duration "$seconds" --warm-up 0 --limit 60000 \
    --connections 8 --json >"$work/load.json" 2>"$work/load.err" &
load=$!
/usr/bin/python3 "$(dirname "$0")/serve_faults.py" "$bin" "$work" "$url" $server "$seconds" "$growth" ||
    fail "see above"
wait $load || fail "the load: $(cat "$work/load.err" "$work/load.json")"
jq -e '.failed == 0 and .codes["200"] == .sent and .sent > 0' "$work/load.json" >/dev/null || fail "$(cat "$work/load.json")"
jq -r '"serve_faults.answered,\(.sent),requests\nserve_faults.p50,\(.latency_ms.p50),ms\nserve_faults.p99,\(.latency_ms.p99),ms"' "$work/load.json"
kill -TERM $server
wait $server
code=$?
[ $code = 0 ] || fail "it ended with $code"
server=
if grep -vE 'level=(info|warn)' "$work/log" | grep -q .; then fail "it complained: $(grep -vE 'level=(info|warn)' "$work/log" | head -3)"; fi
