#!/bin/bash
# ilm.sh LLMCF MODEL.gguf DATASET RANKER.lcf OUT: items as soft tokens of a frozen language model, arm beside arm: the text alone, a two-layer
# MLP (CoLLM), a Q-Former of random weights, a Q-Former of phase 1 (ILM); and the number of query tokens. All of them read the vectors of
# RANKER, or, where that is -, spectral ones of the training rows. Into OUT/ilm.csv, one line an arm and seed, OUT/summary.csv,
# means and 95 % intervals over the seeds (Student's t), and OUT/compared, paired intervals of AUC and UAUC against the MLP.
# What is finished is not made again; a killed run goes on where it was.
#   SEEDS="1 2 3"  TOKENS=4 (of the Q-Formers in the comparison)  SWEEP="1 2 8" (further numbers, at the first seed)
#   LOSSES=itc,itm,itg,iic,uic  STEPS=1200 BATCH=16 LR=0.003 TASKS=like=3,... (TASK=WEIGHT, as llmcf ilm has them)  HISTORY=5  USERS=1 (part of
#   the users that are scored)  WRITE=64  EPOCHS=60 (of phase 1)  PRECISION=bf16  THREADS=0
#   OPTIONS="" and PHASE1="": more options of llmcf ilm and of llmcf qformer
# tests/bench/ilm-vectors-collm-ml1m.csv: SEEDS="1 2" STEPS=200 HISTORY=3 USERS=0.3 WRITE=0 EPOCHS=20 PHASE1="--layers 2 --hidden 64
#   --patience 5" TASKS=like=1,describe=0,next=0,rating=0,profile=0,why=0; of MF's vectors one seed
set -eu -o pipefail
llmcf=$1 model=$2 dataset=$3 ranker=$4 out=$5
vectors="--ranker $ranker"
[ "$ranker" != - ] || vectors=
seeds=${SEEDS:-1 2 3} tokens=${TOKENS:-4} sweep=${SWEEP-1 2 8} threads=${THREADS:-0}
first=${seeds%% *}
mkdir -p "$out"
csv=$out/ilm.csv log=$out/log
. "$(dirname "$0")/../recgen/logged.sh"

# phase1 K: the Q-Former with K queries.
phase1() {
    logged "$llmcf" qformer --dataset "$dataset" $vectors --out "$out/phase1-$1" --queries "$1" --losses "${LOSSES:-itc,itm,itg,iic,uic}" \
        --epochs "${EPOCHS:-60}" --threads "$threads" ${PHASE1:-} --quiet
}
# arm NAME SEEDS OPTION...: trains and measures one arm, and puts its seeds into the table.
arm() {
    local name=$1 list=$2
    shift 2
    logged "$llmcf" ilm --dataset "$dataset" --model "$model" $vectors --out "$out/$name" --seeds "${list// /,}" --steps "${STEPS:-1200}" \
        --batch "${BATCH:-16}" --lr "${LR:-0.003}" ${TASKS:+--tasks "$TASKS"} --history "${HISTORY:-5}" --precision "${PRECISION:-bf16}" \
        --score-users "${USERS:-1}" --write-rows "${WRITE:-64}" --threads "$threads" ${OPTIONS:-} \
        "$@" --quiet
    jq -r --arg name "$name" 'def text($task): ([.text[] | select(.task == $task)][0] // {});
        .arm as $arm | .tokens as $tokens | .trained_parameters as $trained | .seeds[] |
        [$name, $arm, $tokens, $trained, .seed, .training.best_step, .training.valid_loss, .like.test.auc, .like.test.uauc,
         (("describe", "next", "profile", "why") as $task | text($task) | .similarity, .chance),
         ([.text[].similarity] | if length > 0 then add / length else null end),
         .like.tokens_per_row, .like.seconds_per_1000_rows, .training.seconds] | @csv' "$out/$name/report.json" | tr -d '"' >>"$csv.new"
}

echo name,arm,tokens,trained,seed,best_step,valid_loss,auc,uauc,describe,describe_chance,next,next_chance,profile,profile_chance,why,why_chance,similarity,tokens_per_row,seconds_per_1000_rows,train_seconds >"$csv.new"
arm text "$first" --arm text
arm mlp "$seeds" --arm mlp
phase1 "$tokens"
arm "random-$tokens" "$seeds" --arm random --tokens "$tokens" --qformer "$out/phase1-$tokens" # its sizes
arm "ilm-$tokens" "$seeds" --arm qformer --qformer "$out/phase1-$tokens"
for k in $sweep; do
    [ "$k" = "$tokens" ] && continue # done, with more seeds
    phase1 "$k"
    arm "random-$k" "$first" --arm random --tokens "$k" --qformer "$out/phase1-$k"
    arm "ilm-$k" "$first" --arm qformer --qformer "$out/phase1-$k"
done
mv "$csv.new" "$csv"
logged "$llmcf" compare --baseline "$out/mlp" "$out/random-$tokens" "$out/ilm-$tokens" --out "$out/compared" --quiet

awk -F, -v OFS=, 'BEGIN { split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262", t, " "); split("7 8 9 18", of, " ")
        print "name", "seeds", "valid_loss", "+-", "auc", "+-", "uauc", "+-", "similarity", "+-" }
    NR > 1 { if (!($1 in n)) order[++names] = $1; n[$1]++
        for (i = 1; i <= 4; i++) if ($of[i] != "") { k[$1, i]++; s[$1, i] += $of[i]; q[$1, i] += $of[i] * $of[i] } }
    function mean(a, i) { return s[a, i] / n[a] }
    function half(a, i,  v) { if (n[a] < 2 || k[a, i] < n[a]) return ""; v = (q[a, i] - n[a] * mean(a, i) ^ 2) / (n[a] - 1)
        return sprintf("%.4f", (n[a] <= 10 ? t[n[a] - 1] : 1.96) * sqrt((v > 0 ? v : 0) / n[a])) }
    END { for (j = 1; j <= names; j++) { a = order[j]; line = a OFS n[a]
        for (i = 1; i <= 4; i++) line = line OFS (k[a, i] == n[a] ? sprintf("%.4f", mean(a, i)) : "") OFS half(a, i)
        print line } }' "$csv" >"$out/summary.csv"
column -s, -t "$out/summary.csv" 2>/dev/null || cat "$out/summary.csv"
