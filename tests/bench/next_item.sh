#!/bin/bash
# The table of next-item models: every encoder alone and with the ICT module, ranked among all items.
#
#   next_item.sh LLMCF IN OUT CONFIG SEEDS
#
# IN holds what the pipeline made: dataset (leave-last), vectors, examples. OUT gets the retrieved examples (found by the history
# alone), the models and comparisons of every row, and at last next_item.csv and next_item.md. Each step is a verb that does nothing
# when its result is up to date and goes on where it was stopped: so does this program. CONFIG may have options of training (its
# section `train-next`), SEEDS are comma-separated. The environment's MODELS and SIDES choose rows (default: all encoders; none ict),
# THREADS is handed to every verb (default 0: all processors; results do not depend on it).
#
# Figures are of the test split, means over the seeds; the valid split chose the epoch and nothing else. lift is that over the same
# encoder alone, with the paired, user-clustered 95 % interval of `llmcf compare-next`. sasrec-bce is SASRec with the loss it was
# published with, sasrec-full with a softmax over all items.
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
mkdir -p "$out"
log=$out/next_item.log

step() {
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    "$llmcf" "$@" --threads "${THREADS:-0}" >>"$log" 2>&1 || {
        echo "next_item: llmcf $1 failed, see $log" >&2
        exit 1
    }
}

names=()
train() { # NAME OPTION...
    local name=$1
    shift
    step train-next --config "$config" --dataset "$in/dataset" --seeds "$seeds" --out "$out/$name" "$@"
    names+=("$name")
    echo "next_item: $name $(jq -r '"HR@10 \(.test["hr@10"].mean) NDCG@10 \(.test["ndcg@10"].mean)"' "$out/$name/report.json")" >&2
}
for side in ${SIDES:-none ict}; do
    [ "$side" = none ] || [ -e "$out/retrieved/retrieved.lcf" ] ||
        step retrieve --dataset "$in/dataset" --vectors "$in/vectors" --examples "$in/examples" --by history --out "$out/retrieved"
    for model in ${MODELS:-youtubednn gru4rec sasrec srgnn}; do
        if [ "$side" = none ]; then
            train "$model" --model "$model"
        else
            train "$model-$side" --model "$model" --side "$side" --vectors "$in/vectors" --examples "$in/examples" \
                --retrieved "$out/retrieved"
        fi
    done
done
case " ${MODELS:-sasrec} " in *" sasrec "*)
    train sasrec-bce --model sasrec --loss bce
    train sasrec-full --model sasrec --loss full
    ;;
esac

csv() {
    echo "row,epochs,hr5,hr10,hr20,ndcg10,mrr,lift_hr10,low,high,lift_ndcg10,low,high"
    for name in "${names[@]}"; do
        lift=,,,,,
        base=${name%-*}
        if [ "$base" != "$name" ] && [ -e "$out/$base" ]; then
            step compare-next --a "$out/$base" --b "$out/$name" --out "$out/$name.json"
            lift=$(jq -r '.measures | [.["hr@10", "ndcg@10"] | .difference, .low, .high] | map(tostring) | join(",")' "$out/$name.json")
        fi
        jq -r --arg name "$name" --arg lift "$lift" '[$name, (.seeds | map(.best_epoch | tostring) | join(" ")),
            (.test | .["hr@5", "hr@10", "hr@20", "ndcg@10", "mrr"] | .mean | tostring), $lift] | join(",")' "$out/$name/report.json"
    done
}
markdown() {
    echo "| row | best epochs | HR@10 | NDCG@10 | lift of HR@10 | lift of NDCG@10 |"
    echo "|---|---|---|---|---|---|"
    awk -F, 'NR > 1 { printf "| %s | %s | %.4f | %.4f | %s | %s |\n", $1, $2, $4, $6,
        $8 != "" ? sprintf("%+.4f [%+.4f, %+.4f]", $8, $9, $10) : "", $11 != "" ? sprintf("%+.4f [%+.4f, %+.4f]", $11, $12, $13) : "" }' "$1"
}
csv >"$out/next_item.csv.new"
mv "$out/next_item.csv.new" "$out/next_item.csv"
markdown "$out/next_item.csv" >"$out/next_item.md"
cat "$out/next_item.md"
