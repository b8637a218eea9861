#!/bin/bash
# mix.sh LLMCF BASE.gguf DATASET DATA OUT: what tuning on recommendation costs a model of its general ability, by the share of
# recommendation rows, with all of the recommendation data and with half of it. Every run makes the same number of steps from BASE.
# Into OUT: mix.csv (recommendation AUC, CoT perplexity, general bits per byte and perplexity, multiple choice: of BASE and after each
# run), mix.svg (AUC against bits per byte), loss.csv and loss.svg, generations.md (ten prompts before and after the run with rec=SHOWN).
# What is finished is not made again.
#   RATIOS="0 0.25 0.5 0.75 1"  PARTS="1 0.5"  STEPS=120  BATCH=16  LR=0.0005  LOSS=answer  PRECISION=bf16  CHOICE_ROWS=300 (0: all)
#   SHOWN=0.5  SEED=1  THREADS=2
# A question to decide has one token of an answer where others have a hundred: with LOSS=all hardly a decision is learnt.
set -eu -o pipefail
llmcf=$1 base=$2 dataset=$3 data=$4 out=$5
ratios=${RATIOS:-0 0.25 0.5 0.75 1} parts=${PARTS:-1 0.5} threads=${THREADS:-2} seed=${SEED:-1} shown=${SHOWN:-0.5}
here=$(dirname "$0")
general=(--source "alpaca:$data/instruct/alpaca_5000.json")
choice=(--choice "$data/mmlu" --choice-rows "${CHOICE_ROWS:-300}")
[[ " $ratios " = *" $shown "* && " $parts " = *" 1 "* ]] || {
    echo "mix.sh: SHOWN=$shown must be one of RATIOS ($ratios), and 1 one of PARTS ($parts): that run writes the generations" >&2
    exit 2
}
mkdir -p "$out"
csv=$out/mix.csv loss=$out/loss.csv log=$out/log
. "$here/logged.sh"
echo data,rec,auc,auc_rows,cot_perplexity,general_bits_per_byte,general_perplexity,choice,choice_rows,choice_low,choice_high >"$csv.new"
echo run,step,loss >"$loss.new"

# line DATA REC MEASURES
line() {
    jq -r --arg data "$1" --arg rec "$2" '(.measures // .after) | [$data, $rec, .auc, .auc_rows, .cot_perplexity,
        .general_bits_per_byte, .general_perplexity, .choice.accuracy, .choice.rows, .choice.chance_low, .choice.chance_high] | @csv' \
        "$3" | tr -d '"' >>"$csv.new"
}
logged "$llmcf" measure --model "$base" --dataset "$dataset" --source decide "${general[@]}" "${choice[@]}" --auc-rows 1000 --seed "$seed" \
    --out "$out/before" --threads "$threads" --quiet
line before - "$out/before/measures.json"
for part in $parts; do
    name=all
    [ "$part" = 1 ] || name="$part of it"
    for rec in $ratios; do
        [ "$rec" != 0 ] || [ "$part" = 1 ] || continue # the same run
        logged "$llmcf" tune --model "$base" --dataset "$dataset" --source "decide,part=$part,weight=3" --source "explain,part=$part" "${general[@]}" \
            --mix "rec=$rec" --steps "${STEPS:-120}" --batch "${BATCH:-16}" --lr "${LR:-0.0005}" --warmup 20 --loss "${LOSS:-answer}" \
            --precision "${PRECISION:-bf16}" --eval-rows 1000 "${choice[@]}" --seed "$seed" --threads "$threads" --out "$out/run-$part-$rec" \
            --quiet
        line "$name" "$rec" "$out/run-$part-$rec/report.json"
        [ "$part" != 1 ] || jq -r --arg run "rec=$rec" '.loss[] | [$run, .step, .loss] | @csv' "$out/run-$part-$rec/report.json" |
            tr -d '"' >>"$loss.new"
    done
done
mv "$csv.new" "$csv"
mv "$loss.new" "$loss"
"$llmcf" chart "$csv" --x general_bits_per_byte --y auc --by data --title "Recommendation AUC against general ability" \
    --out "$out/mix.svg"
"$llmcf" chart "$loss" --x step --y loss --by run --title "Training loss by mixing ratio, nats per token" --out "$out/loss.svg"
logged bash "$here/generations.sh" "$llmcf" before="$base" after="$out/run-1-$shown/recgen.gguf" >"$out/generations.md"
column -s, -t "$csv" 2>/dev/null || cat "$csv"
