#!/bin/bash
# llmcf qformer: phase 1 on a small shop. Made once; the same bytes with one thread and two, and after a kill; every set of losses
# and both ways to mix them; refusals.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$LLMCF" simulate --users 100 --items 120 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >/dev/null 2>&1 || fail "prepare"
"$LLMCF" train --dataset dataset --backbone mf --seeds 1 --epochs 2 --out mf >/dev/null 2>&1 || fail "train"
small="--dataset dataset --ranker mf/best.lcf --vocab 300 --layers 2 --hidden 16 --heads 2 --queries 2 --features 8 --text-max 12 --batch 16"

expect 0 'Q-Former of 2 queries' "$LLMCF" qformer $small --epochs 3 --losses itc,itm,itg,iic,uic --threads 2 --out whole --json
jq -e '.losses == ["itc", "itm", "itg", "iic", "uic"] and .mix == "sum" and (.epochs | length) == 3 and .model.item_dim == 32 and
    .data.items.train + .data.items.valid + .data.items.test + .data.untrained + .data.without_text == 120 and
    (.test.losses | keys) == ["iic", "itc", "itg", "itm", "uic"] and
    .epochs[2].train.itg < .epochs[0].train.itg and .test.neighbours >= 0 and (.seen.losses | keys) == (.test.losses | keys)' stdout >/dev/null || fail "report: $(cat stdout)"
[ "$(ls whole | tr '\n' ' ')" = "manifest.json qformer.lcf report.json tokenizer.gguf " ] || fail "files: $(ls whole)"
[ -e whole.partial ] && fail "a partial folder was left"
expect 0 'up to date' "$LLMCF" qformer $small --epochs 3 --losses itc,itm,itg,iic,uic --out whole

# stopped after an epoch, taken up with another number of threads: the same bytes
"$LLMCF" qformer $small --epochs 3 --losses itc,itm,itg,iic,uic --threads 1 --out again >/dev/null 2>&1 &
pid=$!
for _ in $(seq 500); do
    [ -e again.partial/epoch.lcf ] && break
    sleep 0.01
done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e again/manifest.json ] || [ -e again.partial/epoch.lcf ] || fail "nothing was kept"
expect 0 'best epoch' "$LLMCF" qformer $small --epochs 3 --losses itc,itm,itg,iic,uic --threads 1 --out again
for file in qformer.lcf report.json tokenizer.gguf; do
    cmp whole/$file again/$file || fail "$file differs after a kill"
done

# without a ranker the vectors are those of the training rows, of users, too
free=${small/--ranker mf\/best.lcf/}
expect 0 'trained on' "$LLMCF" qformer $free --epochs 1 --losses itc,uic --threads 1 --out spectral
expect 0 'trained on' "$LLMCF" qformer $free --epochs 1 --losses itc,uic --threads 2 --out spectral2
cmp spectral/qformer.lcf spectral2/qformer.lcf || fail "spectral vectors depend on the threads"
cmp -s spectral/qformer.lcf whole/qformer.lcf && fail "the ranker's vectors were taken"

expect 0 'Q-Former' "$LLMCF" qformer $small --epochs 1 --losses iic --out pairs --json
jq -e '(.epochs[0].train | keys) == ["iic"] and .epochs[0].criterion == .epochs[0].valid.losses.iic' stdout >/dev/null || fail "iic: $(cat stdout)"
expect 0 'Q-Former' "$LLMCF" qformer $small --epochs 1 --losses itc,uic --mix alternate --queries 1 --out turns --json \
    --model "$LCF_SOURCE_DIR/schemas/examples/recgen.gguf"
jq -e '.mix == "alternate" and (.epochs[0].train | keys) == ["itc", "uic"] and .model.queries == 1' stdout >/dev/null || fail "mix: $(cat stdout)"
"$LLMCF" train --dataset dataset --backbone sasrec --seeds 1 --epochs 1 --out sasrec >/dev/null 2>&1 || fail "train sasrec"
expect 0 'Q-Former' "$LLMCF" qformer $small --ranker sasrec/best.lcf --epochs 1 --losses itc,iic --out items
expect 1 'uic needs' "$LLMCF" qformer $small --ranker sasrec/best.lcf --epochs 1 --losses uic --out x
[ -e turns/tokenizer.gguf ] && fail "a tokenizer that was given was written"

expect 1 "where 'ranker' is expected" "$LLMCF" qformer $small --out x --ranker mf/test.lcf
expect 2 "'itx' is none of" "$LLMCF" qformer $small --losses itc,itx --out x
expect 1 'no multiple of heads' "$LLMCF" qformer $small --hidden 17 --out x
[ -e x ] || [ -e x.partial ] && fail "a failed run left something"
exit $((fails > 0))
