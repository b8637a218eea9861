#!/bin/bash
# systems.sh LLMCF BASE.gguf SPLIT DATA OUT: the systems of this house side by side, on the CoLLM split of MovieLens-1M (SPLIT holds its
# train, valid, test and items .tsv) or on a dataset that `llmcf prepare` made (with WORDS=items and a CONFIG of its training). DATA is the
# folder with instruct/ (general instructions for TALLRec's first stage).
#
#   collaborative  MF, SASRec, DIN                     language model asked  TALLRec, BinLLM (text, id, intuitive, two-step)
#   LLM-CF         DIN + ICT, beside DIN + KAR, + KD   soft tokens           a two-layer MLP (CoLLM), ILM
#
# All language models are tuned from BASE; its size and its perplexity stand beside the table, because the published figures are of
# a model a thousand times larger. Into OUT: compare/ (AUC, UAUC, log loss, paired intervals against DIN), systems.csv (with training time,
# scoring time per 1,000 rows, tokens per row), base.csv. Every step does nothing when its result is there: a stopped run goes on.
#   SEEDS="1 2 3 4 5"  STEPS=600 (of every tuning)  SHARE=0.1 (of training rows that get a CoT)  ASKED=1 (of those that are judged for KD)
#   USERS=1 (part of the users, drawn by their ids, whose test rows all systems are compared on, and the rankers on those of all users,
#   too: asking a language model about the 45,000 test rows of Amazon Beauty takes minutes a system and seed)
#   VECTORS=spectral (or mf: what soft tokens are made of)
#   CONFIG=collm-ml1m  MF=$CONFIG  SASREC=collm-ml1m-sasrec (in offline/config)  THREADS=0; and what binllm.sh and ilm.sh take
set -eu
llmcf=$1 base=$2 split=$3 data=$4 out=$5
seeds=${SEEDS:-1 2 3 4 5} steps=${STEPS:-600} threads=${THREADS:-0} users=${USERS:-1}
here=$(dirname "$0")/../../offline
prompt=$here/recgen/prompts/binllm-text-${WORDS:-movies}.prompt
config=${CONFIG:-collm-ml1m}
mkdir -p "$out/facts"
log=$out/systems.log

step() {
    local more=
    case $("$llmcf" "$1" --help) in *--threads=*) more="--threads $threads" ;; esac
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    # shellcheck disable=SC2086
    "$llmcf" "$@" $more --quiet 2>>"$log" || { echo "systems: llmcf $1 failed, see $log" >&2; exit 1; }
}
# fact NAME TRAIN_SECONDS SCORE_SECONDS TOKENS: what a system costs. Tunings of a fixed length have the time of the fastest seed, as what
# else runs only adds to it; rankers, whose length is chosen by the valid split, the mean.
fact() { echo "$1,$2,$3,$4" >"$out/facts/$1"; }
least='function least(a, b) { return a == "" || b + 0 < a ? b + 0 : a }'

# ---- language models that are asked, and the dataset ----
SEEDS=$seeds STEPS=$steps SHARE=0 USERS=$users bash "$here/recgen/binllm.sh" "$llmcf" "$base" "$split" "$out/binllm" >>"$log"
dataset=$split
[ -e "$dataset/manifest.json" ] || dataset=$out/binllm/dataset
arms=()
for arm in "$out"/binllm/arms/*; do
    name=$(basename "$arm")
    arms+=("$arm")
    fact "$name" $(awk -F, -v name="$name" '$4 == "difference" && (name == $1 || name == $1 "-" $2) {
        n++; t = least(t, $10); s = least(s, $11); k += $9 } END { if (n) print t, s, k / n } '"$least" "$out/binllm/binllm.csv")
done

rank=${RANK:-16}
lora="--lora-rank $rank --lora-alpha $((2 * rank)) --lora-dropout 0.05 --lora-targets ${TARGETS:-attn_*,ffn_*} --weight-decay 0 --loss answer"
lora+=" --precision ${PRECISION:-bf16}"
words="--prompt-template $prompt --history ${HISTORY:-10}"
# shellcheck disable=SC2086
step tune --model "$base" --chat alpaca --cutoff 512 $lora --lr 0.003 --source "alpaca:$data/instruct/alpaca_5000.json" \
    --steps "$steps" --batch 8 --warmup 20 --out "$out/tallrec-stage1"
runs=() seconds=()
for seed in $seeds; do
    # shellcheck disable=SC2086
    step tune --dataset "$dataset" --model "$base" --adapter "$out/tallrec-stage1/adapter.gguf" $words $lora --lr "${LR:-0.003}" \
        --source decide --cutoff 512 --seed "$seed" --steps "$steps" --batch "${BATCH:-16}" --warmup 20 --eval-rows 0 --out "$out/tallrec-$seed" \
        --json >"$out/tallrec.json"
    # what an earlier run took is kept where there is nothing to do
    [ "$(jq .current "$out/tallrec.json")" = true ] || jq .seconds "$out/tallrec.json" >"$out/tallrec-$seed.seconds"
    seconds+=("$(cat "$out/tallrec-$seed.seconds")")
    # shellcheck disable=SC2086
    step judge --dataset "$dataset" --model "$out/tallrec-$seed/recgen.gguf" $words --splits test --score-users "$users" \
        --out "$out/tallrec-judged-$seed"
    runs+=("$out/tallrec-judged-$seed")
done
"$llmcf" arm "${runs[@]}" --out "$out/tallrec" --quiet 2>>"$log"
arms+=("$out/tallrec")
fact tallrec "$(printf '%s\n' "${seconds[@]}" | sort -g | head -1)" \
    $(jq -r '.stats.counts | "\(.seconds_per_1000_rows // "-") \(.test.tokens_per_row)"' "$out/tallrec-judged-${seeds%% *}/manifest.json")

# ---- LLM-CF: chains of thought of the same model, and its rivals ----
step tune --dataset "$dataset" --model "$base" --steps "$steps" --out "$out/recgen"
recgen=$out/recgen/recgen.gguf
step generate --dataset "$dataset" --model "$recgen" --share "${SHARE:-0.1}" --cot "$out/cot"
step encode --dataset "$dataset" --cot "$out/cot" --out "$out/vectors"
step index --dataset "$dataset" --cot "$out/cot" --vectors "$out/vectors" --out "$out/examples"
side="--dataset $dataset --vectors $out/vectors --examples $out/examples"
# shellcheck disable=SC2086
step retrieve $side --out "$out/retrieved"
# shellcheck disable=SC2086
step knowledge $side --cot "$out/cot" --out "$out/knowledge"
step judge --dataset "$dataset" --model "$recgen" --splits train --share "${ASKED:-1}" --out "$out/judged"

# ranker NAME CONFIG OPTION...
ranker() {
    local name=$1 config=$2
    shift 2
    # shellcheck disable=SC2086
    step train $side --retrieved "$out/retrieved" --config "$here/config/$config.yaml" --seeds "${seeds// /,}" --out "$out/$name" "$@"
    fact "$name" $(jq -r '.stats.report.seeds | "\(map(.seconds) | add / length) \(map(.seconds_per_1000_rows) | add / length) -"' \
        "$out/$name/manifest.json")
    compared=$out/$name
    if [ "$users" != 1 ]; then
        if [ "$name" = din ]; then everybody+=(--section "all users" --baseline "$compared"); else everybody+=("$compared"); fi
        compared=$out/asked/$name
        step arm "$out/$name" --rows-of "$out/tallrec" --out "$compared"
    fi
    if [ "$name" = din ]; then baseline=$compared; else arms+=("$compared"); fi
}
everybody=()
ranker din "$config" --backbone din
ranker mf "${MF:-$config}" --backbone mf
ranker sasrec "${SASREC:-collm-ml1m-sasrec}" --backbone sasrec
ranker din-llmcf "$config" --backbone din --side ict
ranker din-kar "$config" --backbone din --side kar --knowledge "$out/knowledge"
ranker din-kd "$config" --backbone din --distill "$out/judged"

# ---- items as soft tokens ----
vectors=-
[ "${VECTORS:-spectral}" != mf ] || vectors=$out/mf/best.lcf
SEEDS=$seeds STEPS=$steps SWEEP=${SWEEP-} USERS=$users bash "$here/ilm/ilm.sh" "$llmcf" "$base" "$dataset" "$vectors" "$out/ilm" >>"$log"
for arm in mlp "ilm-${TOKENS:-4}"; do
    arms+=("$out/ilm/$arm")
    fact "$arm" $(awk -F, -v name="$arm" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $1 == name { n++; t = least(t, $at["train_seconds"]); s = least(s, $at["seconds_per_1000_rows"]); k += $at["tokens_per_row"] }
        END { print t, s, k / n } '"$least" "$out/ilm/ilm.csv")
done

# ---- the table ----
step compare --section "$config" --baseline "$baseline" "${arms[@]}" "${everybody[@]}" --out "$out/compare"
step measure --model "$base" --dataset "$dataset" --source "alpaca:$data/instruct/alpaca_5000.json" --general-rows 400 --out "$out/base"
{
    echo system,rows,seeds,auc,auc_std,auc_lift,auc_lift_low,auc_lift_high,uauc,logloss,train_s,score_s_per_1000,tokens_per_row
    awk -F, -v facts="$out/facts/" 'function show(form, x) { return "," (x == "" || x == "-" ? "" : sprintf(form, x)) }
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        { line = $2 "," $at["rows"] "," $at["seeds"]; fact = ",,,"; getline fact <(facts $2); close(facts $2); split(fact, cost, ",")
          n = split("auc auc_std auc_lift auc_lift_low auc_lift_high uauc logloss", measure, " ")
          for (i = 1; i <= n; i++) line = line show("%.4f", $at[measure[i]])
          for (i = 2; i <= 4; i++) line = line show("%.3g", cost[i])
          print line }' "$out/compare/compare.csv"
} >"$out/systems.csv.new"
{
    echo base_parameters,general_perplexity,general_bits_per_byte
    jq -r --argjson n "$(jq .model.parameters "$out/recgen/report.json")" '.measures | "\($n),\(.general_perplexity),\(.general_bits_per_byte)"' \
        "$out/base/measures.json"
} >"$out/base.csv"
mv "$out/systems.csv.new" "$out/systems.csv"
for table in systems base; do column -s, -t "$out/$table.csv" 2>/dev/null || cat "$out/$table.csv"; done
