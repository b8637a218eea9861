#!/bin/bash
# llmcf ilm: every arm from start to report, the same adapters and predictions at any number of threads and after a stop, refusals.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$LLMCF" simulate --users 60 --items 40 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >/dev/null 2>&1 || fail "prepare"
"$LLMCF" train --dataset dataset --backbone mf --seeds 1 --epochs 1 --out mf >/dev/null 2>&1 || fail "train"
"$LLMCF" tune --dataset dataset --dim 16 --layers 1 --vocab 400 --context 256 --cutoff 128 --steps 1 --out recgen >/dev/null 2>&1 || fail "tune"
ILM="--dataset dataset --model recgen/recgen.gguf --ranker mf/best.lcf --steps 4 --batch 4 --eval-every 2 --valid-rows 2
    --history 2 --cutoff 200 --write-rows 2 --max-tokens 8 --score-users 0.1"

expect 0 'similarity' "$LLMCF" ilm $ILM --seeds 1,2 --threads 2 --out mlp --json
jq -e '.arm == "mlp" and .tokens == 1 and (.seeds | length) == 2 and .seeds[1].training.steps == 4 and (.seeds[0].text | length) == 4 and
    .seeds[0].like.test.rows > 10 and .seeds[0].like.tokens_per_row > 20' stdout >/dev/null || fail "report: $(cat stdout)"
expect 0 'up to date' "$LLMCF" ilm $ILM --seeds 1,2 --out mlp
[ "$(ls mlp | tr '\n' ' ')" = "adapter.lcf manifest.json report.json seed-1.lcf seed-2.lcf test.lcf valid.lcf " ] || fail "files: $(ls mlp)"

# one thread, stopped as soon as there is a state
"$LLMCF" ilm $ILM --seeds 1,2 --threads 1 --out single >/dev/null 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e single.partial/seed-1-state.lcf ]; do sleep 0.02; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
expect 0 '' "$LLMCF" ilm $ILM --seeds 1,2 --threads 1 --out single
for file in adapter.lcf seed-1.lcf seed-2.lcf valid.lcf test.lcf; do cmp mlp/$file single/$file || fail "$file differs after a stop"; done
[ -e single.partial ] && fail "single.partial is still there"

"$LLMCF" ilm $ILM --out damaged --steps 400 --eval-every 2 >/dev/null 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -e damaged.partial/seed-1-state.lcf ]; do sleep 0.02; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
printf 'nothing' >damaged.partial/seed-1-state.lcf
expect 1 'state of a stopped run cannot be used; remove damaged.partial/seed-1-state.lcf' "$LLMCF" ilm $ILM --out damaged --steps 400 --eval-every 2

expect 0 'random, 2 soft tokens' "$LLMCF" ilm $ILM --arm random --tokens 2 --write-rows 0 --out random
expect 0 'mlp, 1 soft tokens' "$LLMCF" ilm ${ILM/--ranker mf\/best.lcf/} --write-rows 0 --out spectral
expect 0 'text, 0 soft tokens' "$LLMCF" ilm $ILM --arm text --write-rows 0 --out text
"$LLMCF" compare --baseline text random --out compared --replicates 100 >/dev/null 2>&1 || fail "compare"

user=$(awk -F'\t' 'NR == 2 { print $1 }' raw/interactions.tsv)
COMPLETE="complete --model recgen/recgen.gguf --temperature 0 --max-tokens 4 --dataset dataset --ranker mf/best.lcf"
"$LLMCF" $COMPLETE --soft random/adapter.lcf --prompt "User:{user:$user} likes" --json >stdout || fail "complete with soft tokens"
jq -e '(.prompt_ids | max) >= 300 and (.ids | length) <= 4' stdout >/dev/null || fail "complete: $(cat stdout)"
"$LLMCF" ${COMPLETE/--ranker mf\/best.lcf/} --soft spectral/adapter.lcf --prompt "{user:$user} likes" >stdout || fail "complete without a ranker"
"$LLMCF" $COMPLETE --soft random/adapter.lcf --prompt "User:{user:$user} likes" --answer ' Yes' >stdout || fail "score with soft tokens"
"$LLMCF" $COMPLETE --soft mlp/adapter.lcf --prompt "User:{user:$user} likes" --answer ' Yes' >mlp-score || fail "score with soft tokens"
jq -e '. < 0' stdout >/dev/null || fail "log p: $(cat stdout)"
cmp -s stdout mlp-score && fail "soft tokens say nothing to the score"
expect 1 'the adapter was trained on other vectors' "$LLMCF" $COMPLETE --soft spectral/adapter.lcf --prompt x
"$LLMCF" qformer --dataset dataset --vocab 300 --layers 1 --hidden 16 --heads 2 --queries 2 --epochs 1 --batch 16 --out phase1 >/dev/null 2>&1 || fail "qformer"
expect 1 'the Q-Former was trained on other vectors' "$LLMCF" ilm $ILM --arm qformer --qformer phase1 --out x
expect 1 "no item 'nothing'" "$LLMCF" $COMPLETE --soft random/adapter.lcf --prompt '{item:nothing}'
expect 1 'unknown placeholder {film}' "$LLMCF" $COMPLETE --soft random/adapter.lcf --prompt '{film}'
expect 2 'go together' "$LLMCF" $COMPLETE --prompt x
expect 2 'needs the Q-Former of phase 1' "$LLMCF" ilm $ILM --arm qformer --out x
expect 2 'has no Q-Former' "$LLMCF" ilm $ILM --qformer mf --out x
expect 2 '--precision: must be f32 or bf16' "$LLMCF" ilm $ILM --precision f16 --out x
expect 2 'given twice' "$LLMCF" ilm $ILM --seeds 1,2,1 --out x
expect 2 'or --no-bos' "$LLMCF" $COMPLETE --soft random/adapter.lcf --prompt x --no-bos
expect 2 "'love=1'" "$LLMCF" ilm $ILM --tasks love=1 --out x
printf 'like: {movie}\n' >prompts.txt
expect 1 'unknown placeholder {movie}' "$LLMCF" ilm $ILM --prompts prompts.txt --out x
"$LLMCF" simulate --users 20 --items 30 --out raw2 >/dev/null 2>&1
"$LLMCF" prepare --input raw2 --out other >/dev/null 2>&1
expect 1 'must have been trained on it' "$LLMCF" ilm $ILM --dataset other --out x
[ -e x ] && fail "a failed run left something"
exit $((fails > 0))
