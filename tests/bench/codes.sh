#!/bin/bash
# codes.sh LLMCF BASE.gguf DATASET OUT: what the codes of BinLLM are worth to LLM-CF, two A/B rows on one dataset of `llmcf prepare`.
# The arm that both are compared with (plain) is DIN with ICT: BASE, tuned on the dataset, writes chains of thought, and a row's examples
# are those of the nearest texts. One arm changes the retrieval alone (codes-retrieval: nearest by Hamming distance of the codes of users
# and items, popcount), the other the prompts alone (codes-prompts: the chains are asked with the two codes in the prompt, and BASE is tuned
# on such prompts; the words are the same otherwise). Into OUT: compare/ (the two against plain, paired intervals), lift/ (all three
# against DIN), codes.csv (a line per arm). What is finished is not made again.
#   SEEDS=1,2,3,4,5  STEPS=200 (of tuning)  ROWS=1000 (chains of thought)  CANDIDATES=2  EPOCHS=2 and PATIENCE=1 (of rankers)
#   FORM=dotted (or bits)  BINMF="--batch 2048 --epochs 200 --patience 20"  THREADS=0
# tests/bench/codes-ml-latest-small.csv: these, on a dataset of `llmcf prepare --config offline/config/ml-latest-small.yaml`.
set -eu
llmcf=$1 base=$2 dataset=$3 out=$4
seeds=${SEEDS:-1,2,3,4,5} form=${FORM:-dotted} threads="--threads ${THREADS:-0}"
mkdir -p "$out"
log=$out/codes.log

step() {
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    # shellcheck disable=SC2086
    "$llmcf" "$@" --quiet 2>>"$log" || { echo "codes: llmcf $1 failed, see $log" >&2; exit 1; }
}
# prompt NAME LINE: the questions of an arm; LINE stands behind the target.
prompt() {
    cat >"$out/$1.prompt" <<END
llmcf-prompt 1
name: $1
version: 1
[explain]
{{#liked}}Liked:
{{liked}}{{/liked}}{{#disliked}}Disliked:
{{disliked}}{{/disliked}}Target:
{{target}}$2{{#yes}}Decision: Yes.
{{/yes}}{{#no}}Decision: No.
{{/no}}Explain it.
[decide]
{{#liked}}Liked:
{{liked}}{{/liked}}{{#disliked}}Disliked:
{{disliked}}{{/disliked}}Target:
{{target}}$2Liked? Yes or No.
END
}
# chains NAME OPTION...: a language model of these prompts, its chains of thought, and the examples of every row.
chains() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    {
        step tune --dataset "$dataset" --model "$base" --prompt-template "$out/$name.prompt" "$@" --source explain --source decide --cutoff 384 \
            --lr 0.001 --steps "${STEPS:-200}" --batch 8 --precision bf16 --eval-rows 0 $threads --out "$out/recgen-$name"
        step generate --dataset "$dataset" --model "$out/recgen-$name/recgen.gguf" --prompt-template "$out/$name.prompt" "$@" --share 0.5 \
            --rows "${ROWS:-1000}" --candidates "${CANDIDATES:-2}" --max-tokens 120 $threads --cot "$out/cot-$name"
        step encode --dataset "$dataset" --cot "$out/cot-$name" --out "$out/vectors-$name"
        step index --dataset "$dataset" --cot "$out/cot-$name" --vectors "$out/vectors-$name" --out "$out/examples-$name"
        step retrieve --dataset "$dataset" --vectors "$out/vectors-$name" --examples "$out/examples-$name" $threads --out "$out/retrieved-$name"
    }
}
# ranker NAME OPTION...
ranker() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    step train --dataset "$dataset" --seeds "$seeds" --epochs "${EPOCHS:-2}" --patience "${PATIENCE:-1}" $threads --out "$out/$name" "$@"
}
# ict NAME CHAINS RETRIEVED
ict() {
    ranker "$1" --side ict --vectors "$out/vectors-$2" --examples "$out/examples-$2" --retrieved "$out/retrieved-$3"
}

# shellcheck disable=SC2086
step train --dataset "$dataset" --backbone binmf ${BINMF:---batch 2048 --epochs 200 --patience 20} --seeds "${seeds%%,*}" $threads --out "$out/binmf"
step codes --dataset "$dataset" --ranker "$out/binmf/best.lcf" --tokenizer "$base" --out "$out/codes"
prompt plain ''
prompt codes 'User code {{user_code}}, target code {{target_code}}.
'
chains plain
chains codes --codes "$out/codes" --code-form "$form"
# shellcheck disable=SC2086
step retrieve --dataset "$dataset" --vectors "$out/vectors-plain" --examples "$out/examples-plain" --codes "$out/codes" $threads --out "$out/retrieved-hamming"
ranker din
ict plain plain plain
ict codes-retrieval plain hamming
ict codes-prompts codes codes

# shellcheck disable=SC2086
{
    step compare --baseline "$out/plain" "$out/codes-retrieval" "$out/codes-prompts" $threads --out "$out/compare"
    step compare --baseline "$out/din" "$out/plain" "$out/codes-retrieval" "$out/codes-prompts" $threads --out "$out/lift"
}
{
    echo baseline,arm,seeds,auc,auc_std,auc_lift,auc_lift_low,auc_lift_high,uauc,logloss
    for table in compare lift; do
        awk -F, -v table=$table 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
            { if (NR == 2) baseline = $2
              if (NR > 2) print baseline "," $2 "," $at["seeds"] "," $at["auc"] "," $at["auc_std"] "," $at["auc_lift"] "," $at["auc_lift_low"] "," \
                  $at["auc_lift_high"] "," $at["uauc"] "," $at["logloss"] }' "$out/$table/compare.csv"
    done
} >"$out/codes.csv"
column -s, -t "$out/codes.csv" 2>/dev/null || cat "$out/codes.csv"
