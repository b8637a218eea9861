#!/bin/bash
# mix.sh LLMCF BASE.gguf DATASET DATA OUT: what tuning on recommendation costs a model of its general ability, by the share of
# recommendation rows, with all of the recommendation data and with half of it. Every run makes the same number of steps from BASE.
# Into OUT: mix.csv (recommendation AUC, general bits per byte and perplexity, multiple choice, before the first and after each run),
# mix.svg (AUC against bits per byte). What is finished is not made again.
#   RATIOS="0 0.25 0.5 0.75 1"  PARTS="1 0.5"  STEPS=200  LR=0.0005  BATCH=8  CHOICE_ROWS=0 (all)  SEED=1  THREADS=2
set -eu
llmcf=$1 base=$2 dataset=$3 data=$4 out=$5
steps=${STEPS:-200} threads=${THREADS:-2}
general="--source alpaca:$data/instruct/alpaca_5000.json"
mkdir -p "$out"
echo data,rec,auc,auc_rows,general_bits_per_byte,general_perplexity,choice,choice_low,choice_high >"$out/mix.csv"

# line DATA REC MEASURES
line() {
    jq -r --arg data "$1" --arg rec "$2" '(.measures // .after) | [$data, ($rec | tonumber? // ""), .auc, .auc_rows, .general_bits_per_byte,
        .general_perplexity, .choice.accuracy, .choice.chance_low, .choice.chance_high] | @csv' "$3" | tr -d '"' >>"$out/mix.csv"
}
choice="--choice $data/mmlu --choice-rows ${CHOICE_ROWS:-0}"
"$llmcf" measure --model "$base" --dataset "$dataset" --source decide $general $choice --auc-rows 1000 --seed "${SEED:-1}" \
    --out "$out/before" --threads "$threads" --quiet 2>>"$out/log"
line before - "$out/before/measures.json"
for part in ${PARTS:-1 0.5}; do
    name=all
    [ "$part" = 1 ] || name="$part of it"
    for rec in ${RATIOS:-0 0.25 0.5 0.75 1}; do
        "$llmcf" tune --model "$base" --dataset "$dataset" --source "decide,part=$part" --source "explain,part=$part" $general --mix "rec=$rec" \
            --steps "$steps" --batch "${BATCH:-8}" --lr "${LR:-0.0005}" --warmup 20 --eval-rows 1000 $choice --seed "${SEED:-1}" \
            --threads "$threads" --out "$out/run-$part-$rec" --quiet 2>>"$out/log"
        line "$name" "$rec" "$out/run-$part-$rec/report.json"
    done
done
"$llmcf" chart "$out/mix.csv" --x general_bits_per_byte --y auc --by data --title "Recommendation AUC against general ability" \
    --out "$out/mix.svg"
column -s, -t "$out/mix.csv" 2>/dev/null || cat "$out/mix.csv"
