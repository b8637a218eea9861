#!/bin/bash
# llmcf store, encode, index, retrieve: from a store of records to the examples of every row.
set -u
fixture=$LCF_BIN_DIR/cot_fixture
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$LLMCF" simulate --users 120 --items 150 --requests 12 --out raw --quiet 2>stderr || { cat stderr; exit 1; }
"$LLMCF" prepare --input raw --out dataset 2>stderr || { cat stderr; exit 1; }
"$fixture" dataset cot 3 forward || exit 1
"$fixture" dataset other-order 3 backward || exit 1

# the store: the same records in another order are the same store
"$LLMCF" store stats --cot cot >stats.json || fail "cot stats"
records=$(jq .records stats.json)
[ "$records" -gt 100 ] || fail "only $records records"
[ "$(jq .dictionaries stats.json)" = 1 ] || fail "no dictionary"
[ "$("$LLMCF" store stats --cot other-order | jq -r .digest)" = "$(jq -r .digest stats.json)" ] || fail "the digest depends on the order"
"$LLMCF" inspect --json cot >inspect.json 2>stderr || fail "inspect: $(cat stderr)"
jq -e --slurpfile stats stats.json '.kind == "store" and .store.digest == $stats[0].digest and .store.reasons == $stats[0].reasons' \
    inspect.json >/dev/null || fail "inspect does not say what stats says: $(cat inspect.json)"
mkdir still && cp cot/data.mdb still/
"$LLMCF" inspect --json still 2>stderr | jq -e --slurpfile stats stats.json '.store.digest == $stats[0].digest' >/dev/null ||
    fail "inspect of a copy: $(cat stderr)"
[ "$(ls still)" = data.mdb ] || fail "inspect wrote: $(ls still)"
"$LLMCF" store export --cot cot --out a.jsonl 2>stderr || fail "cot export: $(cat stderr)"
"$LLMCF" store export --cot other-order >b.jsonl 2>stderr || fail "cot export: $(cat stderr)"
cmp a.jsonl b.jsonl || fail "the export depends on the order"
[ "$(wc -l <a.jsonl)" = "$records" ] || fail "the export lacks records"
jq -r .key a.jsonl >keys; sort -c keys || fail "the export is not in key order"
key=$(sed -n 7p keys)
[ "$("$LLMCF" store get "$key" --cot cot | jq -cS .)" = "$(sed -n 7p a.jsonl | jq -cS .)" ] || fail "cot get is not the exported record"
expect 1 "no record 00000000000000000000000000000000" "$LLMCF" store get 00000000000000000000000000000000 --cot cot
user=$(sed -n 7p a.jsonl | jq -r .user_id) time=$(sed -n 7p a.jsonl | jq .time)
"$LLMCF" store list --cot cot --user "$user" >listed.jsonl || fail "store list"
jq -cS --arg user "$user" 'select(.user_id == $user)' a.jsonl | sort >expected
jq -cS . listed.jsonl | sort | cmp - expected || fail "store list is not the user's records"
jq .time listed.jsonl | sort -nc || fail "store list is not in the order of time"
[ "$("$LLMCF" store list --cot cot --from "$time" --until "$time" | jq .time | sort -u)" = "$time" ] || fail "store list by time"
expect 2 "32 hexadecimal digits" "$LLMCF" store get xyz --cot cot
expect 2 "an action is needed" "$LLMCF" store --cot cot
expect 2 "no action 'look'" "$LLMCF" store look --cot cot
expect 2 "get needs a KEY" "$LLMCF" store get --cot cot
expect 2 "stats takes no 'x'" "$LLMCF" store stats x --cot cot
expect 1 "no CoT store there" "$LLMCF" store stats --cot nowhere
expect 0 "$records records are sound" "$LLMCF" store verify --cot cot
mkdir torn && head -c 20000 cot/data.mdb >torn/data.mdb
expect 1 "truncated or damaged" "$LLMCF" store verify --cot torn
grep -q 'store repair' stderr || fail "no hint at repair"
head -c $(($(stat -c %s cot/data.mdb) * 3 / 4)) cot/data.mdb >torn/data.mdb
expect 0 "records saved" "$LLMCF" store repair --cot torn
[ "$("$LLMCF" store stats --cot torn | jq .records)" -gt 0 ] || fail "nothing was saved"

# upkeep: what goes out comes back, what was lost is merged in again, what is old goes
expect 0 "$records records added, 0 were there" "$LLMCF" store import a.jsonl --cot copy
expect 0 "0 records added, $records were there" "$LLMCF" store import - --cot copy <a.jsonl
[ "$("$LLMCF" store stats --cot copy | jq -r .digest)" = "$(jq -r .digest stats.json)" ] || fail "the copy differs"
expect 0 "$records records" "$LLMCF" store export --cot cot --out a.jsonl.zst
[ $((3 * $(stat -c %s a.jsonl.zst))) -lt "$(stat -c %s a.jsonl)" ] || fail "a.jsonl.zst is not small"
expect 0 "0 records added, $records were there" "$LLMCF" store import a.jsonl.zst --cot copy
expect 0 "0 records added, $records were there" "$LLMCF" store import - --cot copy <a.jsonl.zst
{ printf '\120\052\115\030\003\000\000\000abc'; cat a.jsonl.zst; } >skip.jsonl.zst # a frame to be skipped comes first
expect 0 "0 records added, $records were there" "$LLMCF" store import skip.jsonl.zst --cot copy
{
    read -r _ # what was read of stdin is gone
    expect 0 "$((records - 1)) records added, 0 were there" "$LLMCF" store import - --cot rest
} <a.jsonl
head -c $(($(stat -c %s a.jsonl.zst) / 2)) a.jsonl.zst >cut.jsonl.zst
expect 1 "cut.jsonl.zst: cut off within a frame" "$LLMCF" store import cut.jsonl.zst --cot cut
printf X | dd of=a.jsonl.zst bs=1 seek=$(($(stat -c %s a.jsonl.zst) / 2)) conv=notrunc 2>stderr
expect 1 "a.jsonl.zst: damaged" "$LLMCF" store import a.jsonl.zst --cot copy
expect 0 "records added" "$LLMCF" store merge cot --cot torn
expect 1 "no-store" "$LLMCF" merge cot no-store --cot joined
[ -e joined ] && fail "a merge of stores that are not there left a store"
expect 0 "$records records added, $records were there" "$LLMCF" merge cot cot --cot twice
expect 2 "either a model and its adapter, or stores" "$LLMCF" merge cot --cot torn --force
[ "$("$LLMCF" store stats --cot torn | jq -r .digest)" = "$(jq -r .digest stats.json)" ] || fail "the mended store differs"
expect 0 "bytes, before" "$LLMCF" store compact --cot copy
[ "$("$LLMCF" store stats --cot copy | jq -r .digest)" = "$(jq -r .digest stats.json)" ] || fail "compaction changed the records"
echo '{}' >empty.jsonl
expect 1 "empty.jsonl:1: " "$LLMCF" store import empty.jsonl --cot copy
sed 's/"text":"/"text":"Another: /' a.jsonl | head -n 3 >changed.jsonl
expect 1 "3 records are there with another content" "$LLMCF" store import changed.jsonl --cot copy
expect 2 "gc needs" "$LLMCF" store gc --cot copy
expect 0 "0 records removed" "$LLMCF" store gc --keep-days 100000 --cot copy
expect 0 "records removed" "$LLMCF" store gc --keep-days 1 --cot copy
left=$("$LLMCF" store stats --cot copy | jq .records)
[ "$left" -gt 0 ] && [ "$left" -lt "$records" ] || fail "gc left $left of $records records"

# encode, index, retrieve
expect 0 "150 items and" "$LLMCF" encode --dataset dataset --cot cot --dim 64 --bits 14 --out vectors
for f in encoder.lcf items.lcf cots.lcf manifest.json; do [ -s vectors/$f ] || fail "no vectors/$f"; done
bert=$LCF_SOURCE_DIR/tests/parity/golden/bert_mean.gguf
expect 0 "150 items and" "$LLMCF" encode --dataset dataset --cot cot --encoder "$bert" --out bert --json
[ "$(jq .dimensions stdout)" = 24 ] || fail "dimensions: $(cat stdout)"
cmp "$bert" bert/encoder.lcf || fail "the encoder is copied"
expect 0 "up to date" "$LLMCF" encode --dataset dataset --cot cot --encoder "$bert" --out bert
expect 0 "examples (" "$LLMCF" index --dataset dataset --cot cot --vectors bert --out bert-examples
cp -r vectors grown
expect 0 "150 items and" "$LLMCF" encode --dataset dataset --cot copy --dim 64 --bits 14 --reuse --out grown --json
jq -e ".encoded == 150" stdout >/dev/null || fail "records that were known are encoded again: $(cat stdout)"
cmp vectors/encoder.lcf grown/encoder.lcf || fail "the encoder is kept"
expect 0 "up to date" "$LLMCF" encode --dataset dataset --cot copy --dim 64 --bits 14 --reuse --out grown
cp bert/cots.lcf grown/cots.lcf
expect 1 "not of the encoder beside it" "$LLMCF" encode --dataset dataset --cot cot --dim 64 --bits 14 --reuse --out grown
expect 1 "is no BERT" "$LLMCF" encode --dataset dataset --no-cot --encoder vectors/encoder.lcf --out x
expect 1 "no text encoder" "$LLMCF" encode --dataset dataset --no-cot --encoder "$LCF_SOURCE_DIR/tests/parity/golden/qwen2.gguf" --out x
expect 0 "examples (" "$LLMCF" index --dataset dataset --cot cot --vectors vectors --out examples --json
jq -e '.rejected > 5 and .superseded > 3 and .unmatched == 1 and .examples + .rejected + .superseded + .unmatched == .records' \
    stdout >/dev/null || fail "the counts of index: $(cat stdout)"
for mode in same-user strict; do
    expect 0 "by the $mode rule" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --mode $mode --out $mode --json
    jq -e '.recall == 1 and .rows > 500 and .checked_rows > 500' stdout >/dev/null || fail "the counts of $mode: $(cat stdout)"
done
jq -e '.short_rows > 0' stdout >/dev/null || fail "the first rows of all cannot have examples by the strict rule"
expect 0 "by the same-user rule" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --k 7 --no-balance --out k7
cmp -s same-user/retrieved.lcf strict/retrieved.lcf && fail "the mode changes nothing"
expect 0 "by the same-user rule" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --by history --out by-history --json
jq -e '.rule.by == "history" and .recall == 1 and .vote_test_auc > 0' stdout >/dev/null || fail "the counts by history: $(cat stdout)"
cmp -s same-user/retrieved.lcf by-history/retrieved.lcf && fail "--by changes nothing"
expect 2 "--by must be one of 'both', 'history', 'target'" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --by item --out x
# by codes: other examples, and a ranker that is trained with them cannot be served
expect 0 "best seed" "$LLMCF" train --dataset dataset --backbone binmf --epochs 2 --seeds 1 --out binmf
expect 0 "codes of 32 bits" "$LLMCF" codes --dataset dataset --ranker binmf/best.lcf --out codes
expect 0 "by the same-user rule" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --codes codes --out by-codes --json
jq -e '.rule.by == "codes" and .vote_test_auc > 0' stdout >/dev/null || fail "the counts by codes: $(cat stdout)"
cmp -s same-user/retrieved.lcf by-codes/retrieved.lcf && fail "--codes changes nothing"
expect 2 "--by is about vectors" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --codes codes --by target --out x
expect 0 "best seed" "$LLMCF" train --dataset dataset --vectors vectors --examples examples --retrieved by-codes --side ict --epochs 1 --seeds 1 --out ict-codes
expect 1 "found by codes" "$LLMCF" publish --dataset dataset --vectors vectors --examples examples --cot cot \
    --arm ict=ict-codes/best.lcf --arm backbone=binmf/best.lcf --root snapshots
expect 0 "profiles of" "$LLMCF" knowledge --dataset dataset --vectors vectors --examples examples --cot cot --out knowledge --threads 2
expect 0 "up to date, nothing done" "$LLMCF" knowledge --dataset dataset --vectors vectors --examples examples --cot cot --out knowledge
expect 0 "" "$LLMCF" knowledge --dataset dataset --vectors vectors --examples examples --cot cot --out knowledge-2 --threads 1
cmp -s knowledge/knowledge.lcf knowledge-2/knowledge.lcf || fail "knowledge depends on the threads"
expect 1 "copy has no record of example" "$LLMCF" knowledge --dataset dataset --vectors vectors --examples examples --cot copy --out x
expect 0 "best seed" "$LLMCF" train --dataset dataset --vectors vectors --knowledge knowledge --side kar --epochs 1 --seeds 1 --out kar
expect 2 "--side kar needs --knowledge" "$LLMCF" train --dataset dataset --vectors vectors --side kar --out kar
for kind in hnsw ivf sq8; do
    expect 0 "$kind index, searched to" "$LLMCF" index --dataset dataset --cot cot --vectors vectors --kind $kind --out by-$kind --json
    jq -e '.recall >= 0.99' stdout >/dev/null || fail "the recall of $kind: $(cat stdout)"
    expect 0 "up to date, nothing done" "$LLMCF" index --dataset dataset --cot cot --vectors vectors --kind $kind --out by-$kind
done
expect 0 "by the same-user rule" "$LLMCF" retrieve --dataset dataset --vectors vectors --examples by-ivf --out of-ivf --json
jq -e '.recall >= 0.98' stdout >/dev/null || fail "the recall of ivf: $(cat stdout)"
for wait in .01 .02 .03 .04; do # killed, it leaves the examples that were there, or the new ones
    "$LLMCF" index --dataset dataset --cot other-order --vectors vectors --kind hnsw --force --out by-hnsw --quiet 2>/dev/null &
    sleep $wait
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    "$LLMCF" retrieve --dataset dataset --vectors vectors --examples by-hnsw --out of-hnsw --quiet 2>stderr || fail "after a kill: $(cat stderr)"
done
expect 2 "--kind must be one of 'flat', 'hnsw', 'ivf', 'sq8'" "$LLMCF" index --dataset dataset --cot cot --vectors vectors --kind lsh --out x
# what the neighbours' labels say is an arm like any other
expect 0 "" "$LLMCF" evaluate --a k7 --b same-user --replicates 200 --out votes

# nothing is done twice; the same bytes at any number of threads, and from a store of another order
for step in "encode --dim 64 --bits 14 --cot cot --out vectors" "index --cot cot --vectors vectors --out examples" \
    "retrieve --vectors vectors --examples examples --out same-user"; do
    # shellcheck disable=SC2086
    expect 0 "up to date, nothing done" "$LLMCF" $step --dataset dataset
done
expect 0 "" "$LLMCF" encode --dataset dataset --cot other-order --dim 64 --bits 14 --out vectors-2 --threads 3
expect 0 "" "$LLMCF" index --dataset dataset --cot other-order --vectors vectors-2 --out examples-2
expect 0 "" "$LLMCF" retrieve --dataset dataset --vectors vectors-2 --examples examples-2 --out same-user-2 --threads 3
for pair in "vectors vectors-2" "examples examples-2" "same-user same-user-2"; do
    # shellcheck disable=SC2086
    diff -r $pair >diff.txt || fail "not the same bytes: $(head -3 diff.txt)"
done

# without a store; and what does not belong together
expect 0 "and 0 records" "$LLMCF" encode --dataset dataset --no-cot --out plain --dim 32
[ -e plain/cots.lcf ] && fail "cots.lcf without a store"
expect 2 "either --cot or --no-cot" "$LLMCF" encode --dataset dataset --out plain
expect 1 "cots.lcf" "$LLMCF" index --dataset dataset --cot cot --vectors plain --out none
expect 1 "does not belong to" "$LLMCF" retrieve --dataset dataset --vectors plain --examples examples --out none
expect 0 "" "$LLMCF" prepare --input raw --like 3 --out dataset-1 # of the same size
expect 1 "vectors was made of another dataset" "$LLMCF" retrieve --dataset dataset-1 --vectors vectors --examples examples --out none
expect 1 "vectors was made of another dataset" "$LLMCF" train --dataset dataset-1 --vectors vectors --side text --out none
mkdir bare && cp same-user/retrieved.lcf bare/
expect 1 "bare/manifest.json: cannot open" "$LLMCF" evaluate --a k7 --b same-user --dataset dataset --retrieved bare --out none
"$LLMCF" simulate --users 60 --items 90 --out raw-2 --seed 5 --quiet 2>/dev/null && "$LLMCF" prepare --input raw-2 --out dataset-2 2>/dev/null
expect 1 "encode again" "$LLMCF" index --dataset dataset-2 --cot cot --vectors vectors --out none
expect 0 "" "$LLMCF" encode --dataset dataset-2 --cot cot --out vectors-3 --dim 32
expect 1 "no example: of $records records" "$LLMCF" index --dataset dataset-2 --cot cot --vectors vectors-3 --out none
[ -e none ] && fail "a failed step left an artefact"
[ $fails -eq 0 ] && echo "ok"
exit $((fails > 0))
