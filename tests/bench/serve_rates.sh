#!/bin/bash
# The highest rate of requests at which llmcf-serve keeps p99 <= 10 ms (open loop, llmcf load --search, 500 requests a rate at least):
# DIN + ICT, JSON, 100 and 500 candidates. A server of one worker has one processor and the client another; with more workers the client
# shares theirs.
#
#     tests/bench/serve_rates.sh BIN_DIR [EXAMPLES [SECONDS [WORKERS...]]]   CSV on stdout: name,value,unit (default 100000, 5, 1 and 2)
#     In place of EXAMPLES a folder of snapshots may stand, whose default arm answers.
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1
examples=${2:-100000} seconds=${3:-5}
shift $(($# < 3 ? $# : 3))
. "$(dirname "$0")/serve_lib.sh"
if [ -d "$examples" ]; then
    ln -s "$(realpath "$examples")" "$work/snapshots"
else
    make_snapshots $((examples / 24 + 20)) 5000 30 $examples 256
fi
for workers in ${*:-1 2}; do
    start_server --threads $workers
    on_client=
    if [ $workers = 1 ]; then
        taskset -a -p -c 0 $server >/dev/null || fail "no taskset"
        on_client="taskset -c 1"
    fi
    for candidates in 100 500; do
        name=serve_rate.workers_$workers.candidates_$candidates
        $on_client "$LLMCF" load --target "$url" --snapshot "$work/snapshots" --candidates $candidates --rate $((30000 / candidates)) \
            --duration $seconds --warm-up 0.5 --limit 10 --search --json >"$work/$name.json" 2>"$work/$name.err" ||
            fail "$name: $(cat "$work/$name.err")"
        jq -r --arg n $name '"\($n),\(.rate * 10 | round / 10),requests/s\n\($n).p50,\(.latency_ms.p50),ms\n\($n).p99,\(.latency_ms.p99),ms\n\($n).samples,\(.sent),requests"' \
            "$work/$name.json"
    done
    kill -TERM $server
    wait $server
    server=
done
