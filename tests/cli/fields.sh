#!/bin/bash
# Fields of a schema, from columns to scores: labels that follow from the context, a user's city and an item's price alone are
# learned with the fields and not without them.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

mkdir shop
awk 'BEGIN {
    srand(7)
    print "item_id\ttitle\tprice" >"shop/items.tsv"
    for (i = 1; i <= 60; i++) { price[i] = int(1 + 99 * rand()); print "i" i "\titem\t" price[i] >"shop/items.tsv" }
    print "user_id\tcity" >"shop/users.tsv"
    for (u = 1; u <= 80; u++) { city[u] = rand() < 0.5 ? "Rome" : "Oslo"; print "u" u "\t" city[u] >"shop/users.tsv" }
    print "user_id\titem_id\ttimestamp\trating\tdevice" >"shop/interactions.tsv"
    for (t = 1; t <= 4000; t++) {
        u = 1 + int(80 * rand()); i = 1 + int(60 * rand()); device = rand() < 0.5 ? "phone" : "desk"
        label = (device == "phone") != (price[i] > 50) || city[u] == "Oslo" && rand() < 0.3
        print "u" u "\ti" i "\t" t "\t" (label ? 5 : 1) "\t" device >"shop/interactions.tsv"
    }
}'
printf 'users: {city: {kind: categorical}}\nitems: {price: {kind: numeric, buckets: 8}}\ncontext: {device: {kind: categorical}}\n' >shop/fields.yaml

expect 0 '80 users' "$LLMCF" prepare --input shop --out plain
expect 0 '80 users' "$LLMCF" prepare --input shop --fields shop/fields.yaml --out rich
[ -e plain/fields.lcf ] && fail "fields without a schema"
expect 0 'up to date' "$LLMCF" prepare --input shop --fields shop/fields.yaml --out rich
for data in plain rich; do
    expect 0 'best seed 1' "$LLMCF" train --dataset $data --out ranker-$data --seeds 1 --lr 0.01 --epochs 8 --patience 8
done
jq -s -e '.[0].seeds[0].test_auc < 0.62 and .[1].seeds[0].test_auc > 0.85' ranker-plain/report.json ranker-rich/report.json >/dev/null ||
    fail "test AUC $(jq .seeds[0].test_auc ranker-plain/report.json) without fields, $(jq .seeds[0].test_auc ranker-rich/report.json) with them"
# the other backbones take them, too: FM by pairs, and the linear part of LR by weights of their own (it cannot tell the pairs)
for backbone in lr fm; do
    for data in plain rich; do
        expect 0 'best seed 1' "$LLMCF" train --backbone $backbone --dataset $data --out $backbone-$data --seeds 1 --lr 0.01 \
            --epochs 8 --patience 8
    done
done
jq -s -e '.[0].seeds[0].test_auc < 0.62 and .[1].seeds[0].test_auc > 0.85' fm-plain/report.json fm-rich/report.json >/dev/null ||
    fail "FM: $(jq .seeds[0].test_auc fm-plain/report.json) without fields, $(jq .seeds[0].test_auc fm-rich/report.json) with them"
jq -s -e '.[1].seeds[0].test_auc > .[0].seeds[0].test_auc + 0.02' lr-plain/report.json lr-rich/report.json >/dev/null ||
    fail "LR: $(jq .seeds[0].test_auc lr-plain/report.json) without fields, $(jq .seeds[0].test_auc lr-rich/report.json) with them"

# served as trained: test rows as requests with their context
expect 0 'items' "$LLMCF" encode --dataset rich --no-cot --dim 16 --out vectors
expect 0 '' "$LLMCF" publish --dataset rich --vectors vectors --arm rich=ranker-rich/best.lcf --root snapshots
"$LCF_BIN_DIR/replay_rows" rich ranker-rich/test.lcf 1 rich >requests 2>expected || fail "replay_rows"
"$LLMCF" rank --snapshot snapshots --lines --request requests >answers 2>stderr || fail "rank: $(tail -1 stderr)"
jq -r '.results[0].score' answers | paste -d ' ' expected - | awk '
    { d = $1 - $2; if (d < 0) d = -d; if (d > worst) worst = d } END { print NR " rows, " worst; exit !(NR > 300 && worst < 1e-6) }' ||
    fail "offline and online differ"
echo '{"user_id": "u1", "candidates": ["i1"], "context": {"device": "phone"}}' >phone
sed s/phone/desk/ phone >desk
for request in phone desk; do "$LLMCF" rank --snapshot snapshots --request $request | jq .results[0].score >$request.score; done
! cmp -s phone.score desk.score || fail "the context does not count"
sed s/device/weather/ phone >unknown
expect 1 'no field "weather" of the context' "$LLMCF" rank --snapshot snapshots --request unknown

# what a request says of its user counts, of one that is known and of one that is not
city=$(awk -F'\t' '$1 == "u1" { print $2 }' shop/users.tsv)
other=$(echo "Oslo Rome" | tr ' ' '\n' | grep -v "$city")
score() { # score NAME USER FEATURES
    echo "{\"user_id\": \"$2\", \"candidates\": [\"i1\", \"i2\"], \"context\": {\"device\": \"phone\"}, \"user_features\": $3}" >$1.json
    "$LLMCF" rank --snapshot snapshots --request $1.json | jq -c '[.results[] | [.item_id, .score]]' >$1 || fail "$1"
}
score as-known u1 '{}'
score as-told u1 "{\"city\": \"$city\"}"
score moved u1 "{\"city\": \"$other\"}"
score nowhere u1 '{"city": ""}'
score new nobody '{}'
score new-there nobody '{"city": "Oslo"}'
score new-here nobody '{"city": "Rome"}'
cmp -s as-known as-told || fail "what is known, told, is not the same"
[ "$(cat as-known moved nowhere | sort -u | wc -l)" = 3 ] || fail "a user's feature does not count: $(cat as-known moved nowhere)"
[ "$(cat new new-there new-here | sort -u | wc -l)" = 3 ] || fail "a new user's feature does not count: $(cat new new-there new-here)"
sed s/city/weight/ moved.json >unknown
expect 1 'no field "weight" of the user' "$LLMCF" rank --snapshot snapshots --request unknown
# and is in the request log, without which it could not be replayed
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --threads 1 --request-log log.jsonl 2>serve.err &
server=$!
for _ in $(seq 300); do
    url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' serve.err)
    [ -n "$url" ] && break
    sleep 0.1
done
for request in moved new-there; do curl -s -o answer -d @$request.json "$url/v1/rank" || fail "serve: $(cat serve.err)"; done
kill $server
wait $server
"$LLMCF" replay log.jsonl --snapshot snapshots >stdout && grep -q '4 of 4 candidates compared' stdout || fail "replay: $(cat stdout)"
sed 's/"user_features":{[^}]*},//' log.jsonl >forgetful
expect 3 'skewed' "$LLMCF" replay forgetful --snapshot snapshots

# a schema that does not fit, and a changed one
printf 'items: {colour: {kind: categorical}}\n' >wrong.yaml
expect 1 "no column 'colour'" "$LLMCF" prepare --input shop --fields wrong.yaml --out x
[ -e x ] && fail "a dataset was written"
printf 'context: {device: {kind: categorical}}\n' >shop/fields.yaml
expect 0 '80 users' "$LLMCF" prepare --input shop --fields shop/fields.yaml --out rich
expect 0 'best seed' "$LLMCF" train --dataset rich --out ranker-rich --seeds 1 --epochs 1
exit $((fails > 0))
