#!/bin/bash
# binllm.sh LLMCF BASE.gguf SPLIT OUT: BinLLM on a model of ours. SPLIT is the CoLLM split of MovieLens-1M (train, valid, test and items
# .tsv), or a dataset that `llmcf prepare` made. A BinMF gives every user and item a code; LoRA teaches BASE to answer the
# published questions: with titles alone (text), with codes alone (id), with both from the start (intuitive), and with both after the
# titles alone (two-step, which makes STEPS of each); codes as bits and dotted. The test rows are scored by Yes against No, by log p(Yes)
# and by the logit of Yes as published.
# Into OUT: binllm.csv (a line per system, form, seed and score; beside BinMF), arms/ (each system's seeds as one arm), compare/ (every
# arm against BinMF, with paired intervals). What is finished is not made again.
#   SEEDS="1 2 3 4 5"  STEPS=600  BATCH=16  LR=0.003  ROWS=0 (training rows that are seen; 0: all)  FORMS="bits dotted"
#   OBJECTIVE=cross-entropy (or bce: the published loss)  HISTORY=10 (titles in a question)  RANK=16  TARGETS="attn_*,ffn_*"
#   PRECISION=bf16  SHARE=0.05 (of the training rows, scored too; 0: none)  BINMF_SEEDS=1,2,3,4,5  THREADS=0
#   USERS=1 (part of the users, drawn by their ids, whose test rows are asked about; BinMF's lines are of all rows, compare/ of theirs)
#   WORDS=movies (or items: of what the questions speak)
#   WARM=320 (steps of 16 sessions; 0: BASE as it is)
# What a base of millions of parameters needs and the published one of 7 billion does not (tests/bench/binllm-trials.csv): adapters on all
# matrices of the layers (published: q and v of rank 8, with which the codes stay half learnt), and a warm-up on sessions, the same
# training rows as conversations of titles and answers (with as many rows as questions the text alone is not learnt).
set -eu
llmcf=$1 base=$2 split=$3 out=$4
dataset=$split
seeds=${SEEDS:-1 2 3 4 5} steps=${STEPS:-600} forms=${FORMS:-bits dotted} rows=${ROWS:-0} share=${SHARE:-0.05}
here=$(dirname "$0")
config=$here/../config
prompts=$here/prompts
rank=${RANK:-16}
lora="--lora-rank $rank --lora-alpha $((2 * rank)) --lora-dropout 0.05 --lora-targets ${TARGETS:-attn_*,ffn_*}"
lora+=" --lr ${LR:-0.003} --weight-decay 0 --loss answer --objective ${OBJECTIVE:-cross-entropy} --precision ${PRECISION:-bf16}"
threads="--threads ${THREADS:-0}" users=${USERS:-1}
scored="--splits test"
[ "$share" = 0 ] || scored="--splits train,test --share $share"
[ "$users" = 1 ] || scored+=" --score-users $users"
source=decide
[ "$rows" = 0 ] || source+=,rows=$rows
mkdir -p "$out"
csv=$out/binllm.csv
echo system,form,seed,score,auc,uauc,logloss,train_auc,tokens_per_row,tune_seconds,seconds_per_1000_rows >"$csv.new"

log=$out/log
. "$here/logged.sh"
step() { logged "$llmcf" "$@" --quiet; }
# words SYSTEM FORM: the question of a system, into $words
words() {
    local kind=full
    case $1 in text | id) kind=$1 ;; esac
    words="--prompt-template $prompts/binllm-$kind-${WORDS:-movies}.prompt --history ${HISTORY:-10}"
    [ "$kind" = text ] || words+=" --codes $out/codes --code-form $2"
}
# run SYSTEM FORM SEED [OPTION...]: tunes, scores, and writes the lines of the table
run() {
    local system=$1 form=$2 seed=$3 name=$1-$2-$3 score
    shift 3
    words "$system" "$form"
    # shellcheck disable=SC2086
    step tune --dataset "$dataset" --model "$base" $words $lora --source $source --cutoff 512 --seed "$seed" --steps "$steps" --batch "${BATCH:-16}" \
        --warmup 20 --eval-rows 0 $threads --out "$out/$name" --json "$@" >"$out/$name.new"
    # what an earlier run took is kept where there is nothing to do
    ! jq -e '.current | not' "$out/$name.new" >/dev/null || cp "$out/$name.new" "$out/$name.json"
    rm "$out/$name.new"
    # shellcheck disable=SC2086
    step judge --dataset "$dataset" --model "$out/$name/recgen.gguf" $words $scored $threads \
        --out "$out/$name-judged"
    for score in difference yes_logprob yes_logit; do
        jq -r --arg head "$system,$form,$seed,$score" --arg score $score --argjson tuned "$(cat "$out/$name.json")" '.stats.counts |
            "\($head),\(.test[$score].auc),\(.test[$score].uauc),\(.test[$score].logloss // ""),\(.train[$score].auc // ""),\(.test.tokens_per_row),\(
            $tuned.seconds | floor),\(.seconds_per_1000_rows // "")"' "$out/$name-judged/manifest.json" >>"$csv.new"
    done
}

if [ ! -e "$dataset/manifest.json" ]; then
    dataset=$out/dataset
    [ -e "$out/raw/items.tsv" ] || sh "$config/collm-ml1m.sh" "$split" "$out/raw"
    step prepare --input "$out/raw" --config "$config/collm-ml1m.yaml" --out "$dataset"
fi
# shellcheck disable=SC2086
step train --dataset "$dataset" $threads --config "$config/collm-ml1m-binmf.yaml" ${BINMF_SEEDS:+--seeds "$BINMF_SEEDS"} --out "$out/binmf"
step codes --dataset "$dataset" --ranker "$out/binmf/best.lcf" --tokenizer "$base" --out "$out/codes"
jq -r '.seeds[] | "binmf,,\(.seed),probability,\(.test_auc),\(.test_uauc // ""),\(.test_logloss),,,,"' "$out/binmf/report.json" >>"$csv.new"

warm=${WARM:-320}
if [ "$warm" != 0 ]; then
    # shellcheck disable=SC2086
    step tune --dataset "$dataset" --model "$base" --source session --loss answer --cutoff 512 --lr 0.001 --weight-decay 0 --warmup 10 \
        --precision "${PRECISION:-bf16}" --steps "$warm" --batch 16 --eval-rows 0 $threads --out "$out/warm"
    base=$out/warm/recgen.gguf
fi
for seed in $seeds; do
    run text - "$seed"
    for form in $forms; do
        run id "$form" "$seed"
        run intuitive "$form" "$seed"
        run two-step "$form" "$seed" --adapter "$out/text---$seed/adapter.gguf"
    done
    echo "binllm: seed $seed done" >&2
done
mv "$csv.new" "$csv"

# Each system's seeds as one arm, all of them against BinMF.
arms=()
arm() {
    local runs=() seed name=$1
    [ "$2" = - ] || name+=-$2
    for seed in $seeds; do runs+=("$out/$1-$2-$seed-judged"); done
    step arm "${runs[@]}" --out "$out/arms/$name"
    arms+=("$out/arms/$name")
}
arm text -
for form in $forms; do
    for system in id intuitive two-step; do arm $system "$form"; done
done
baseline=$out/binmf
if [ "$users" != 1 ]; then
    baseline=$out/asked/binmf
    step arm "$out/binmf" --rows-of "${arms[0]}" --out "$baseline"
fi
# shellcheck disable=SC2086
step compare $threads --baseline "$baseline" "${arms[@]}" --out "$out/compare"

# Means and standard deviations over the seeds.
awk -F, 'NR > 1 { key = sprintf("%-10s %-6s %-11s", $1, $2, $4); if (!(key in n)) order[++keys] = key
    n[key]++; for (i = 5; i <= 11; i++) if ($i != "") { c[key, i]++; s[key, i] += $i; q[key, i] += $i * $i } }
    function show(key, i,  k, m, v) { k = c[key, i]; if (!k) return "-"; m = s[key, i] / k; v = k > 1 ? (q[key, i] - k * m * m) / (k - 1) : 0
        return sprintf("%.4f +- %.4f", m, v > 0 ? sqrt(v) : 0) }
    function mean(key, i) { return c[key, i] ? sprintf("%.1f", s[key, i] / c[key, i]) : "-" }
    END { printf "%-29s %4s  %-16s  %-16s  %-16s  %-16s  %7s  %7s  %s\n", "system     form   score", "runs", "AUC", "UAUC", "log loss",
              "AUC of training", "tokens", "tuned s", "s per 1,000"
          for (i = 1; i <= keys; i++) { k = order[i]; printf "%s %4d  %-16s  %-16s  %-16s  %-16s  %7s  %7s  %s\n", k, n[k], show(k, 5), show(k, 6),
              show(k, 7), show(k, 8), mean(k, 9), mean(k, 10), mean(k, 11) } }' "$csv"
