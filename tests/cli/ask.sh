#!/bin/bash
# BinLLM's way on a small world: codes, questions as template files, tuning in two steps, both scores; what does not fit is refused.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
prompts=$LCF_SOURCE_DIR/offline/recgen/prompts

"$LLMCF" simulate --users 60 --items 40 --out raw >log 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >>log 2>&1 || fail "prepare"
"$LLMCF" train --dataset dataset --backbone binmf --seeds 1 --epochs 1 --out binmf >>log 2>&1 || fail "train"
"$LLMCF" codes --dataset dataset --ranker binmf/best.lcf --out codes >>log 2>&1 || fail "codes"

full="--prompt-template $prompts/binllm-full-items.prompt --codes codes --code-form dotted --history 10"
text="--prompt-template $prompts/binllm-text-items.prompt --history 10"
mix="--source decide,rows=64 --loss answer --cutoff 256 --batch 2 --eval-rows 8"
lora="--lora-rank 2 --lora-targets attn_q,attn_v"
"$LLMCF" export-sft --dataset dataset --source decide $full --rows 1 --out rows >>log 2>&1 || fail "export-sft"
row='^#Question: A user has given high ratings to the following items: ("[^"]+", )*"[^"]+"\. Additionally, .* feature ([0-9]+\.){3}[0-9]+\. '
row+='.* the item titled "[^"]+" with the feature ([0-9]+\.){3}[0-9]+\? Answer with "Yes" or "No"\. \\n#Answer:$'
jq -r '.[0] | .instruction + .input' rows/alpaca.json >question
grep -qE "$row" question || fail "question: $(cat question)"

expect 0 'steps' "$LLMCF" tune --dataset dataset $full $mix --dim 16 --layers 1 --vocab 400 --context 256 --steps 2 --out base
expect 0 'steps' "$LLMCF" tune --dataset dataset --model base/recgen.gguf $text $mix $lora --steps 2 --out first
jq -e '.prompt | startswith("binllm-text-items-1#")' first/report.json >/dev/null || fail "prompt: $(jq .prompt first/report.json)"
expect 0 'steps' "$LLMCF" tune --dataset dataset --model base/recgen.gguf --adapter first/adapter.gguf $full $mix --steps 2 --out second
cmp -s first/adapter.gguf second/adapter.gguf && fail "the second step changed nothing"
expect 0 'up to date' "$LLMCF" tune --dataset dataset --model base/recgen.gguf --adapter first/adapter.gguf $full $mix --steps 2 --out second

judge="--dataset dataset --model second/recgen.gguf --splits valid,test"
expect 0 'tokens each' "$LLMCF" judge $judge $full --out judged --json
jq -e '.test | .rows > 0 and .tokens_per_row > 100 and .difference.auc >= 0 and .yes_logit.auc >= 0 and .yes_logprob.auc >= 0' stdout >/dev/null ||
    fail "counts: $(cat stdout)"
expect 0 'up to date' "$LLMCF" judge $judge $full --out judged
expect 0 'AUC' "$LLMCF" judge $judge ${full/dotted/bits} --out judged-bits
cmp -s judged/test.lcf judged-bits/test.lcf && fail "the form of the codes changes nothing"
expect 0 'report.html' "$LLMCF" evaluate --a binmf --b judged/yes --replicates 100 --out report

# the published loss
expect 0 '2 steps' "$LLMCF" tune --dataset dataset --model base/recgen.gguf $text $mix $lora --objective bce --steps 2 --out published
cmp -s first/recgen.gguf published/recgen.gguf && fail "the objective changes nothing"
expect 0 '2 steps' "$LLMCF" tune --dataset dataset --model base/recgen.gguf --source session --cutoff 200 $lora --objective bce --steps 2 --out sessions
for source in "" "--source decide --source explain" "--source next"; do # without a --source decide and explain
    expect 2 'neither Yes nor No' "$LLMCF" tune --dataset dataset --model base/recgen.gguf $source --cutoff 200 --objective bce \
        --steps 2 --out x
done
jq -n '[range(16) | {instruction: "Good?", input: "\(.)", output: (if . % 2 == 0 then "Yes." else "No." end)}]' >answers.json
for chat in alpaca recgen chatml; do
    expect 0 '2 steps' "$LLMCF" tune --model base/recgen.gguf --source alpaca:answers.json,hold=0 --chat $chat --loss answer --cutoff 200 \
        --objective bce --steps 2 --out answers-$chat
done
printf '[{"instruction": "Hi", "output": "Hello"}, {"instruction": "Bye", "output": "Bye"}]' >greetings.json
expect 1 'neither Yes nor No' "$LLMCF" tune --dataset dataset --model base/recgen.gguf --source alpaca:greetings.json,hold=0 --cutoff 200 --objective bce \
    --steps 2 --out x

# runs of one system as one arm
mkdir -p other-rows test-alone
cp judged/valid.lcf judged/test.lcf other-rows/ && cp judged/valid.lcf other-rows/test.lcf && cp judged/test.lcf test-alone/
expect 0 '2 seeds' "$LLMCF" arm judged judged-bits --out arm --json
jq -e '.seeds == 2 and (.current | not)' stdout >/dev/null || fail "arm: $(cat stdout)"
expect 0 'up to date' "$LLMCF" arm judged judged-bits --out arm
[ "$(ls arm | tr '\n' ' ')" = "manifest.json test.lcf valid.lcf " ] || fail "files: $(ls arm)"
expect 0 'report.html' "$LLMCF" evaluate --a judged --b arm --replicates 100 --out spread --json
jq -e --slurpfile j <(jq .stats.counts.test judged/manifest.json) '(.measures.auc.b.per_seed | length == 2) and
    (.measures.auc.b.per_seed[0] - $j[0].difference.auc | fabs) < 1e-6' stdout >/dev/null || fail "the seeds of the arm"
expect 1 'that of judged' "$LLMCF" arm judged other-rows --out x
expect 1 'has valid.lcf, and test-alone has not' "$LLMCF" arm judged test-alone --out x
expect 1 'has scores of 2 seeds, that of judged of 1' "$LLMCF" arm judged arm --out x
expect 1 'neither valid.lcf nor test.lcf' "$LLMCF" arm codes --out x
expect 2 'would replace the run judged' "$LLMCF" arm judged --out judged
expect 2 'would replace the run judged/yes' "$LLMCF" arm judged/yes --out judged/
[ -e judged/judgements.lcf ] || fail "an arm took the place of its run"
expect 2 'RUN... is needed' "$LLMCF" arm --out x

expect 2 'full-items.prompt:5: codes are spoken of here, and none are given' "$LLMCF" judge $judge ${full/--codes codes/} --out x
expect 2 'no prompt speaks of them' "$LLMCF" judge $judge $text --codes codes --out x
printf 'llmcf-prompt 1\nname: t\nversion: 1\n[ask]\nWill they\nlike {{price}}?\n' >wrong.prompt
expect 1 "wrong.prompt:6: 'price' is no value; there are liked" "$LLMCF" judge $judge --prompt-template wrong.prompt --out x
expect 1 "wrong.prompt:6: 'price'" "$LLMCF" tune --dataset dataset --prompt-template wrong.prompt --source decide --out x
expect 2 'has no [explain]' "$LLMCF" tune --dataset dataset $text --source explain --out x
expect 2 'has no [explain]' "$LLMCF" generate --dataset dataset --model base/recgen.gguf --prompt-template "$prompts/binllm-text-items.prompt" --out x
"$LLMCF" simulate --users 30 --items 20 --out raw2 >>log 2>&1 && "$LLMCF" prepare --input raw2 --out other >>log 2>&1 || fail "another dataset"
expect 1 "must be of this dataset's users and items" "$LLMCF" judge ${judge/--dataset dataset/--dataset other} $full --out x
head -c 200 codes/codes.lcf >torn && mkdir -p torn-codes && mv torn torn-codes/codes.lcf && cp codes/manifest.json torn-codes/
expect 1 'codes.lcf' "$LLMCF" judge $judge ${full/codes codes/codes torn-codes} --out x
[ -e x ] && fail "a failed run left something"
exit $((fails > 0))
