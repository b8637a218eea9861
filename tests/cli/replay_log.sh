#!/bin/bash
# llmcf replay: what a server showed is what the offline path says, whatever was asked; a log that was tampered with is found out.
# (Where not all candidates were shown their company differs, and with it the last bit of some scores.)
set -u
server=
fail() { echo "FAILED: $*" >&2; [ -z "$server" ] || kill $server; exit 1; }
"$LCF_BIN_DIR/make_world" world || fail make_world
publish() {
    "$LLMCF" publish --quiet --dataset world/dataset --vectors world/vectors --examples world/examples --cot world/cot \
        --arm din=world/din.lcf --arm din-ict=world/ict.lcf --root snapshots --force "$@" || fail publish
}
publish --generation one
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --threads 1 --request-log log.jsonl --arms din-ict=80,din=20 2>err &
server=$!
for _ in $(seq 300); do
    url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' err)
    [ -n "$url" ] && break
    sleep 0.1
done
ask() { [ "$(curl -s -o answer -w '%{http_code}' "$@" "$url/v1/rank")" = 200 ] || fail "$* $(cat answer)"; }
items='["i1","i2","i3","i4","i5","i6","i7","i8","nothing"]'
for user in $(seq 14); do # two of them unknown
    ask -d "{\"user_id\": \"u$user\", \"candidates\": $items}"
    ask -d "{\"user_id\": \"u$user\", \"candidates\": $items, \"arm\": \"din-ict\", \"k\": 2, \"top\": 3}"
    ask -d "{\"user_id\": \"u$user\", \"candidates\": $items, \"arm\": \"din\", \"k\": 16}"
    ask -d "{\"user_id\": \"u$user\", \"candidates\": $items, \"arm\": \"din-ict\", \"history\": [\"i9\", \"nothing\", \"i$user\"]}"
    ask -d "{\"user_id\": \"u$user\", \"candidates\": $items, \"arm\": \"din-ict\", \"time\": $((1000 * user)), \"strict\": true}"
done
# Little time for examples: refused, or answered by the backbone where it must.
for ms in 1 2 3 4 5 6; do
    curl -s -o answer -H "X-Request-Timeout-Ms: $ms" -d "{\"user_id\": \"u2\", \"candidates\": $items, \"arm\": \"din-ict\"}" "$url/v1/rank"
done
kill -TERM $server && wait $server
server=

"$LLMCF" replay log.jsonl --snapshot snapshots >report 2>replay.err || fail "skew: $(cat report replay.err)"
grep -q '^offline path: 0 beyond' report || fail "$(cat report)"
"$LLMCF" replay log.jsonl --snapshot snapshots --json >report || fail "$(cat report)"
jq -e '.requests >= 56 and .compared == .candidates and .compared > 400 and .skewed == 0 and .largest_difference < 1e-5 and
    .same_bits * 20 >= .reranked * 19 and .reranked > 400' report >/dev/null || fail "$(cat report)"
"$LLMCF" replay log.jsonl --every 10 --json | jq -e '.compared * 9 < .candidates and .compared > 40' >/dev/null || fail "every tenth"

# A score that was not served, an item that was not shown there
jq -c '.candidates[0].score += 0.00002' log.jsonl >tampered
"$LLMCF" replay tampered >report 2>replay.err
[ $? = 3 ] && grep -q 'skewed' replay.err || fail "a tampered score is not found out: $(cat report replay.err)"
jq -c '.candidates[1].item_id = "i9"' log.jsonl >tampered
"$LLMCF" replay tampered >report 2>replay.err
[ $? = 3 ] || fail "a tampered item is not found out: $(cat report)"
# Of another snapshot nothing can be said.
publish --generation two
"$LLMCF" replay log.jsonl >report 2>replay.err
[ $? = 1 ] && grep -q 'nothing to compare' replay.err || fail "another snapshot: $(cat replay.err)"
"$LLMCF" replay log.jsonl --snapshot snapshots/one >report || fail "the snapshot that served"
echo '{"kind": "request"}' >broken
"$LLMCF" replay broken 2>replay.err
[ $? = 1 ] && grep -q 'broken:1: .*request_id' replay.err || fail "$(cat replay.err)"
jq -c '.context = ["web"]' log.jsonl >broken
"$LLMCF" replay broken --snapshot snapshots/one 2>replay.err
[ $? = 1 ] && grep -q "broken:1: 'context' is no object" replay.err || fail "a context that is none: $(cat replay.err)"
echo '{"kind": "click", "request_id": "x", "item_id": "i1"}' | cat - log.jsonl | "$LLMCF" replay - --snapshot snapshots/one >/dev/null ||
    fail "clicks are in the way"
echo ok
