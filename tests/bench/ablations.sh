#!/bin/bash
# The ablation table: what each part of the ICT module is worth, and what its rivals reach on the same rows.
#
#   ablations.sh LLMCF IN OUT CONFIG SEEDS
#
# IN holds what the pipeline made: dataset, vectors, examples, cot, recgen. OUT gets the retrieved examples, judgements, knowledge
# and rankers of every row of the table, compare/ (schemas/compare.md) and figures.csv (table_lib.sh). Each step is a verb that does
# nothing when its result is up to date and goes on where it was stopped: so does this program. CONFIG has the options of training (its
# section `train`), SEEDS are comma-separated. The environment's THREADS is handed to every verb (default 0: all processors; results do
# not depend on it).
#
# Nothing is chosen here: test data are read once per row.
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
mkdir -p "$out"
log=$out/ablations.log
. "$(dirname "$0")/table_lib.sh"

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
arms=()
train() { # NAME RETRIEVED OPTION...
    local name=$1 retrieved=$2
    shift 2
    # shellcheck disable=SC2086
    step train $base --retrieved "$out/retrieved-$retrieved" --config "$config" --seeds "$seeds" --out "$out/$name" "$@"
    arms+=("$out/$name")
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
# The last two are no rankers: the neighbours' vote and the language model's answers.
step compare --section ablations --baseline "${arms[@]}" "$out/retrieved-knn" "$out/judged" --out "$out/compare"
{ figures_head && figures "$out/compare"; } >"$out/figures.csv"
cat "$out/compare/compare.md"
