#!/bin/bash
# base.sh LLMCF DATA OUT: a RecGen-LLaMA from scratch on all general and recommendation text of a data folder, within MINUTES on two
# cores, so that later steps start from a model that writes English. Beside it the default tiny model of `llmcf tune` on the same log, for
# the same number of minutes / 6: what a step without general text starts from.
# Into OUT: base/recgen.gguf, base.log, loss.csv, loss.svg, results.csv (held-out figures of both), generations.md (ten prompts, unedited).
# A killed run goes on where it was. The weights are no part of the repository; the data sets' licences hold for them.
#   MINUTES=60  DIM=256 LAYERS=8 VOCAB=6144 CONTEXT=1024 CUTOFF=512 REC=0.35 PRECISION=bf16 THREADS=2
#   BASE_STEPS=6000 (at most) BASE_BATCH=16 BASE_LR=0.002: not STEPS, BATCH and LR, which are those of what is tuned from it
set -eu -o pipefail
llmcf=$1 data=$2 out=$3
minutes=${MINUTES:-60} threads=${THREADS:-2}
here=$(dirname "$0")
mkdir -p "$out"
log=$out/base.log
. "$here/logged.sh"

if [ ! -e "$out/text/done" ]; then
    logged python3 "$here/base_corpus.py" "$data" "$out/text"
    touch "$out/text/done"
fi
logged "$llmcf" prepare --input "$data/ml-latest-small" --out "$out/dataset" --quiet
# The second catalogue comes as instructions.
logged "$llmcf" prepare --input "$data/amazon-beauty" --out "$out/beauty" --quiet
logged "$llmcf" export-sft --dataset "$out/beauty" --source next --source decide --template llama2 --rows 20000 \
    --out "$out/beauty-rows" --quiet

general=(--source "alpaca:$data/instruct/alpaca_5000.json,weight=3" --source "alpaca:$data/instruct/lima_1029.json,weight=2"
    --source "alpaca:$data/instruct/self_instruct_user_oriented_252.jsonl,weight=0.3" --source "text:$out/text/movies.txt"
    --source "text:$out/text/beauty.txt" --source "alpaca:$out/text/xrec.jsonl,weight=2" --source "alpaca:$out/text/reasons.jsonl")
rec=(--source decide --source explain,weight=2 --source next,weight=0.5 --source rating,weight=0.5
    --source "alpaca:$out/beauty-rows/alpaca.json,group=rec"
    --source "alpaca:$data/tallrec-movie/movie_train_rebuilt.json,group=rec,weight=0.5")
logged "$llmcf" tune --dataset "$out/dataset" --out "$out/base" "${general[@]}" "${rec[@]}" --mix "rec=${REC:-0.35}" --minutes "$minutes" --steps "${BASE_STEPS:-6000}" \
    --dim "${DIM:-256}" --layers "${LAYERS:-8}" --vocab "${VOCAB:-6144}" --context "${CONTEXT:-1024}" --cutoff "${CUTOFF:-512}" \
    --batch "${BASE_BATCH:-16}" --lr "${BASE_LR:-0.002}" --warmup 40 --precision "${PRECISION:-bf16}" --checkpoint-every 100 --threads "$threads"
logged "$llmcf" tune --dataset "$out/dataset" --out "$out/tiny" --minutes "$(awk "BEGIN { print $minutes / 6 }")" --threads "$threads" --quiet

# Held-out rows of the same files for both; bits per byte compare, perplexities are per token of each model's own vocabulary.
echo model,general_perplexity,general_bits_per_byte,cot_perplexity,auc,choice_accuracy,choice_low,choice_high >"$out/results.csv"
for model in base tiny; do
    logged "$llmcf" measure --model "$out/$model/recgen.gguf" --dataset "$out/dataset" "${general[@]}" --source decide --general-rows 400 \
        --choice "$data/mmlu" --out "$out/measured-$model" --threads "$threads" --quiet
    jq -r --arg model "$model" '.measures | [$model, .general_perplexity, .general_bits_per_byte, .cot_perplexity, .auc, .choice.accuracy,
        .choice.chance_low, .choice.chance_high] | @csv' "$out/measured-$model/measures.json" | tr -d '"' >>"$out/results.csv"
done

echo model,step,loss >"$out/loss.csv"
for model in base tiny; do
    jq -r --arg model "$model" '.loss[] | [$model, .step, .loss] | @csv' "$out/$model/report.json" | tr -d '"' >>"$out/loss.csv"
done
"$llmcf" chart "$out/loss.csv" --x step --y loss --by model --title "Training loss, nats per token" --out "$out/loss.svg"

logged bash "$here/generations.sh" "$llmcf" base="$out/base/recgen.gguf" >"$out/generations.md"
column -s, -t "$out/results.csv" 2>/dev/null || cat "$out/results.csv"
