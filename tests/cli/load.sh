#!/bin/bash
# llmcf load: a server under requests drawn from its snapshot, over both kinds of sockets; what it says of a limit that cannot be
# kept; requests of a file. Figures are those of a busy machine: only their form is held.
set -u
server=
fail() { echo "FAILED: $*" >&2; [ -z "$server" ] || kill $server; exit 1; }
"$LCF_BIN_DIR/make_world" world || fail make_world
"$LLMCF" publish --quiet --dataset world/dataset --vectors world/vectors --examples world/examples --cot world/cot \
    --arm din=world/din.lcf --arm din-ict=world/ict.lcf --root snapshots || fail publish
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --unix "$PWD/s" --threads 1 2>log &
server=$!
for _ in $(seq 300); do
    grep -q 'listening on unix' log && break
    sleep 0.1
done
url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' log)
load() { "$LLMCF" load --snapshot snapshots --candidates 10 --duration 1 --warm-up 0.2 --limit 5000 "$@" 2>err; }

load --target "$url" --rate 100 >report || fail "a load that is easily borne: $(cat err report)"
grep -q '^Result is  *: VALID' report || fail "$(cat report)"
load --target "unix:$PWD/s" --rate 100 --arm din --json >report || fail "over a Unix socket: $(cat err)"
jq -e '.valid and .failed == 0 and .codes["200"] == .sent and .sent > 40 and .latency_ms.p50 <= .latency_ms.p99 and
    .latency_ms.p99 <= .latency_ms.max' report >/dev/null || fail "$(cat report)"
load --target "$url" --rate 100 --binary --json >report || fail "in bytes: $(cat err)"
jq -e '.valid and .codes["200"] == .sent and .degraded == 0' report >/dev/null || fail "$(cat report)"
load --target "$url" --rate 50 --limit 0.001 >report
[ $? = 3 ] && grep -q INVALID report || fail "a limit that nobody keeps: $(cat report)"
printf '{"user_id": "u1", "candidates": ["i1", "i2"]}\n{"candidates": []}\n' >requests
load --target "$url" --rate 100 --requests requests --json >report
[ $? = 3 ] || fail "requests that are refused are no success"
jq -e '.valid == false and .codes["400"] > 10 and .codes["200"] > 10' report >/dev/null || fail "$(cat report)"
load --target "$url" --search --samples 1 --rate 1 --limit 0.001 --duration 0.3 --warm-up 0 >report # nothing is slow enough: it halves, and ends
[ $? = 3 ] && grep -q INVALID report && [ "$(grep -c 'not valid$' err)" -ge 3 ] || fail "search: $(cat err report)"
load --target "$url" --search --rate 0.05 --json >report && fail "a search that tries nothing"
grep -q 'a --rate of 0.1' err || fail "$(cat err report)"
echo '{"candidates": [' >requests
load --target "$url" --requests requests && fail "it sends what is no JSON"
grep -q 'requests:1' err || fail "$(cat err)"
kill -TERM $server && wait $server
server=
load --target "$url" && fail "nobody is there"
grep -q 'cannot connect' err || fail "$(cat err)"
load --target nowhere
[ $? = 1 ] || fail "a target that is none"
echo ok
