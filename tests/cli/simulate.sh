#!/bin/bash
# llmcf simulate: the same seed gives the same bytes, another seed does not, prepare reads it, and the texts are a shop's.
set -u
fails=0
fail() { echo "FAILED: $*" >&2; fails=$((fails + 1)); }
small="--users 60 --items 50 --days 20"

$LLMCF simulate $small --seed 7 --out one --json >stdout 2>log || fail "$(cat log)"
$LLMCF simulate $small --seed 7 --out two 2>log || fail "$(cat log)"
diff -r one two || fail "one seed, two results"
$LLMCF simulate $small --seed 8 --out three 2>log || fail "$(cat log)"
cmp -s one/interactions.tsv three/interactions.tsv && fail "two seeds, one result"
$LLMCF simulate $small --seed 7 --out one 2>log
grep -q 'up to date' log || fail "made again: $(cat log)"
[ "$(ls one | tr '\n' ' ')" = "impressions.tsv interactions.tsv items.tsv manifest.json truth.lcf " ] || fail "files: $(ls one)"

# counts agree with the files, titles are unique, every row has all columns
[ "$(jq .interactions stdout)" = $(($(wc -l <one/interactions.tsv) - 1)) ] || fail "interactions"
[ "$(jq .impressions stdout)" = $(($(wc -l <one/impressions.tsv) - 1)) ] || fail "impressions"
[ "$(cut -f2 one/items.tsv | sort | uniq -d | wc -l)" = 0 ] || fail "a title occurs twice"
awk -F'\t' 'NF != 5 || $2 == "" || $5 == "" { exit 1 }' one/items.tsv || fail "an item lacks a field"
awk -F'\t' 'NF != 7 || ($6 != "propensity" && !($6 > 0 && $6 <= 1)) { exit 1 }' one/impressions.tsv || fail "propensity"

$LLMCF prepare --input one --out dataset --json >stdout 2>log || fail "$(cat log)"
[ "$(jq .bad_rows stdout)" = 0 ] || fail "bad rows"
[ "$(jq .unknown_items stdout)" = 0 ] || fail "unknown items"

$LLMCF simulate --users 0 --out x 2>log
[ $? -eq 2 ] || fail "--users 0: exit code"
$LLMCF simulate 2>log
[ $? -eq 2 ] || fail "no --out: exit code"
exit $((fails > 0))
