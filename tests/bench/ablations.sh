#!/bin/bash
# The ablation table: what each part of the ICT module is worth, and what its rivals reach on the same rows.
#
#   ablations.sh LLMCF IN OUT CONFIG SEEDS
#
# IN holds what the pipeline made: dataset, vectors, examples, cot, recgen. OUT gets the retrieved examples, judgements, knowledge
# and rankers of every row of the table, and at last ablations.csv and ablations.md. Each step is a verb that does nothing when its
# result is up to date and goes on where it was stopped: so does this program. CONFIG has the options of training (its section
# `train`), SEEDS are comma-separated. The environment's THREADS is handed to every verb (default 0: all processors; results do not
# depend on it).
#
# valid and test AUC are means over the seeds, sd over seeds; lift is test AUC less that of the backbone alone, with the paired,
# user-clustered 95 % interval of `llmcf evaluate`. Nothing is chosen here: test data are read once per row.
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
mkdir -p "$out/reports"
log=$out/ablations.log

step() {
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    "$llmcf" "$@" --threads "${THREADS:-0}" >>"$log" 2>&1 || {
        echo "ablations: llmcf $1 failed, see $log" >&2
        exit 1
    }
}
base="--dataset $in/dataset --vectors $in/vectors --examples $in/examples"

# ---- what the rows are made from ----
retrieve() { # NAME OPTION...
    local name=$1
    shift
    # shellcheck disable=SC2086
    step retrieve $base --out "$out/retrieved-$name" "$@"
}
retrieve k4
retrieve k2 --k 2
retrieve k8 --k 8
retrieve unbalanced --no-balance
retrieve strict --mode strict
retrieve knn --k 16 --no-balance
step judge --dataset "$in/dataset" --model "$in/recgen/recgen.gguf" --splits train,valid,test --out "$out/judged"
# shellcheck disable=SC2086
step knowledge $base --cot "$in/cot" --out "$out/knowledge"

# ---- rankers ----
names=()
train() { # NAME RETRIEVED OPTION...
    local name=$1 retrieved=$2
    shift 2
    # shellcheck disable=SC2086
    step train $base --retrieved "$out/retrieved-$retrieved" --config "$config" --seeds "$seeds" --out "$out/$name" "$@"
    names+=("$name")
    echo "ablations: $name $(jq -r '"valid \(.valid_auc.mean) test \(.test_auc.mean)"' "$out/$name/report.json")" >&2
}
train backbone k4
train ict k4 --side ict
train text k4 --side text
train ict-nocot k4 --side ict-nocot
train ict-norec k4 --side ict --rec-weight 0
train knn k4 --side knn
train kd k4 --distill "$out/judged"
train kar k4 --side kar --knowledge "$out/knowledge"
train ict-mean k4 --side ict-mean
train ict-unbalanced unbalanced --side ict
train ict-strict strict --side ict
train ict-k2 k2 --side ict
train ict-k8 k8 --side ict
train ict-similarity k4 --side ict --order similarity
train ict-time k4 --side ict --order time
train backbone-labels k4 --history-labels
train ict-labels k4 --side ict --history-labels

# ---- the table ----
csv() {
    echo "row,epochs,valid_auc,valid_sd,test_auc,test_sd,lift,lift_low,lift_high"
    for name in "${names[@]}"; do
        lift=,,
        if [ "$name" != backbone ]; then
            step evaluate --a "$out/backbone" --b "$out/$name" --dataset "$in/dataset" --replicates 1000 --out "$out/reports/$name"
            lift=$(jq -r '.measures.auc.lift | [.value, .low, .high] | map(tostring) | join(",")' "$out/reports/$name/report.json")
        fi
        jq -r --arg name "$name" --arg lift "$lift" '[$name, (.seeds | map(.best_epoch | tostring) | join(" ")),
            .valid_auc.mean, .valid_auc.sd // "", .test_auc.mean, .test_auc.sd // ""] | map(tostring) | join(",") + "," + $lift' "$out/$name/report.json"
    done
    echo "neighbours-vote,,$(jq -r '.stats.counts | "\(.vote_valid_auc),,\(.vote_test_auc)"' "$out/retrieved-knn/manifest.json"),,,,"
    echo "language-model,,$(jq -r '.stats.counts | "\(.valid.difference.auc),,\(.test.difference.auc)"' "$out/judged/manifest.json"),,,,"
}
markdown() {
    echo "| row | best epochs | valid AUC | test AUC | lift of test AUC over the backbone |"
    echo "|---|---|---|---|---|"
    awk -F, 'NR > 1 { printf "| %s | %s | %.4f%s | %.4f%s | %s |\n", $1, $2, $3, $4 != "" ? sprintf(" (%.4f)", $4) : "", $5,
        $6 != "" ? sprintf(" (%.4f)", $6) : "", $7 != "" ? sprintf("%+.4f [%+.4f, %+.4f]", $7, $8, $9) : "" }' "$1"
}
csv >"$out/ablations.csv.new"
mv "$out/ablations.csv.new" "$out/ablations.csv"
markdown "$out/ablations.csv" >"$out/ablations.md"
cat "$out/ablations.md"
