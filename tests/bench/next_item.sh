#!/bin/bash
# The table of next-item models: every encoder alone and with the ICT module, ranked among all items.
#
#   next_item.sh LLMCF IN OUT CONFIG SEEDS
#
# IN holds what the pipeline made: dataset (leave-last), vectors, examples. OUT gets the retrieved examples (found by the history
# alone), the models and comparisons of every row, and at last figures.csv (table_lib.sh) and next_item.md. Each step is a verb that does
# nothing when its result is up to date and goes on where it was stopped: so does this program. CONFIG may have options of training (its
# section `train-next`), SEEDS are comma-separated. The valid split chose the epoch and nothing else. From the environment:
#   MODELS   an encoder, or one with its loss: sasrec-bce is SASRec as it was published, sasrec-full has a softmax over all items
#   SIDES    none ict
#   THREADS  is handed to every verb (default 0: all processors; results do not depend on it)
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
mkdir -p "$out"
log=$out/next_item.log
. "$(dirname "$0")/table_lib.sh"

lines=()
train() { # MODEL SIDE
    local name=$1 with=() compared=()
    [ "$1" = "${1%-*}" ] || with+=(--loss "${1#*-}")
    if [ "$2" != none ]; then
        name+=-$2
        with+=(--side "$2" --vectors "$in/vectors" --examples "$in/examples" --retrieved "$out/retrieved")
    fi
    step train-next --config "$config" --dataset "$in/dataset" --seeds "$seeds" --model "${1%-*}" "${with[@]}" --out "$out/$name"
    if [ "$2" != none ] && [ -e "$out/$1" ]; then
        step compare-next --a "$out/$1" --b "$out/$name" --out "$out/$name.json"
        compared=("$out/$name.json")
    fi
    lines+=("$(next_figures "$out/$name" "${compared[@]}")")
    echo "next_item: $name $(jq -r '"HR@10 \(.test["hr@10"].mean) NDCG@10 \(.test["ndcg@10"].mean)"' "$out/$name/report.json")" >&2
}
for side in ${SIDES:-none ict}; do
    [ "$side" = none ] || [ -e "$out/retrieved/retrieved.lcf" ] ||
        step retrieve --dataset "$in/dataset" --vectors "$in/vectors" --examples "$in/examples" --by history --out "$out/retrieved"
    for model in ${MODELS:-youtubednn gru4rec sasrec srgnn sasrec-bce sasrec-full}; do
        train "$model" "$side"
    done
done
{ figures_head && printf '%s\n' "${lines[@]}"; } >"$out/figures.csv"
{
    echo "| model | HR@10 | lift | NDCG@10 | lift |"
    echo "|---|---|---|---|---|"
    awk -F, 'NR == 1 || $4 == "mrr" { next }
        $4 == "hr@10" { printf "| %s", $2 }
        { printf " | %.4f | %s", $5, $7 == "" ? "" : sprintf("%+.4f [%+.4f, %+.4f]", $7, $8, $9) }
        $4 == "ndcg@10" { print " |" }' "$out/figures.csv"
} >"$out/next_item.md"
cat "$out/next_item.md"
