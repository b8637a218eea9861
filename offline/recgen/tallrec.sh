#!/bin/bash
# tallrec.sh LLMCF BASE.gguf DATA OUT: TALLRec on a model of ours. Two stages of LoRA on q and v (general instructions, then K rows of
# movie recommendation), K and seeds as below, AUC over the whole test file by both scorings, beside the same model untuned, after
# the first stage alone, and matrix factorization on the same K rows; and across domains, movies and beauty. Into OUT/tallrec.csv.
# Also summary.csv (means and standard deviations over the seeds), loss.csv and loss.svg (of the first seed). DATA holds tallrec-movie,
# ml-100k, instruct and amazon-beauty. What is finished is not made again.
#   SEEDS="1 2 3 4 5"  KS="16 64 256"  STEPS=64  STAGE1=200  LR=0.003  CROSS_K=256  LOSS=answer (or all, as published)  PRECISION=bf16
# A base that base.sh made has read the training rows among others, in other words around them: "untuned" is not without knowledge.
set -eu -o pipefail
llmcf=$1 base=$2 data=$3 out=$4
seeds=${SEEDS:-1 2 3 4 5} ks=${KS:-16 64 256} steps=${STEPS:-64} stage1=${STAGE1:-200} lr=${LR:-0.003} cross=${CROSS_K:-256}
here=$(dirname "$0")
movie=$data/tallrec-movie
form="--chat alpaca --cutoff 512"
lora="--lora-rank 8 --lora-alpha 16 --lora-dropout 0.05 --lora-targets attn_q,attn_v --lr $lr --weight-decay 0 --loss ${LOSS:-answer}"
lora+=" --precision ${PRECISION:-bf16} --threads ${THREADS:-2}"
mkdir -p "$out"
csv=$out/tallrec.csv log=$out/log
. "$here/logged.sh"
echo system,train,test,k,seed,auc_published,auc_difference,auc >"$csv.new"

# score NAME TRAIN TEST FILE K SEED MODEL: one line of the table.
score() {
    logged "$llmcf" measure --model "$7" $form --yes-no "$4" --out "$out/scores/$1-$2-$3-$5-$6" --quiet
    jq -r --arg head "$1,$2,$3,$5,$6" '"\($head),\(.yes_no.auc_published),\(.yes_no.auc_difference),"' \
        "$out/scores/$1-$2-$3-$5-$6/measures.json" >>"$csv.new"
}
# loss NAME RUN: the loss curve of a run
loss() { jq -r --arg run "$1" '.loss[] | [$run, .step, .loss] | @csv' "$2/report.json" | tr -d '"'; }
# tune_rows NAME FILE K SEED: the second stage on K rows of a file, from the adapter of the first, as published.
tune_rows() {
    logged "$llmcf" tune --model "$base" --adapter "$out/stage1/adapter.gguf" $form $lora --source "alpaca:$2,rows=$3,hold=0,group=rec" --seed "$4" \
        --steps "$steps" --batch 16 --warmup 10 --checkpoint-every 100 --out "$out/$1-$3-$4" --quiet
}

logged python3 "$here/tallrec_data.py" beauty "$data/amazon-beauty" "$out/data"
logged "$llmcf" tune --model "$base" $form $lora --source "alpaca:$data/instruct/alpaca_5000.json" --steps "$stage1" --batch 8 --warmup 20 \
    --out "$out/stage1" --quiet
for test in movie beauty; do
    file=$movie/movie_test.json
    [ $test = movie ] || file=$out/data/beauty_test.json
    score untuned - $test "$file" 0 0 "$base"
    score stage1 - $test "$file" 0 0 "$out/stage1/recgen.gguf"
done

for k in $ks; do
    for seed in $seeds; do
        tune_rows movie "$movie/movie_train_rebuilt.json" "$k" "$seed"
        score tallrec movie movie "$movie/movie_test.json" "$k" "$seed" "$out/movie-$k-$seed/recgen.gguf"
        # MF on the same rows; users of the test rows are new to it
        mf=$out/mf-$k-$seed
        logged "$llmcf" export-sft --source "alpaca:$movie/movie_train_rebuilt.json,rows=$k,hold=0" --seed "$seed" --rows "$k" \
            --out "$mf/rows" --quiet
        logged python3 "$here/tallrec_data.py" log "$data/ml-100k" "$movie" "$mf/rows/alpaca.json" "$mf/raw"
        logged "$llmcf" prepare --input "$mf/raw" --history liked --like 1 --history-min 0 --out "$mf/dataset" --quiet
        logged "$llmcf" train --side none --backbone mf --dataset "$mf/dataset" --seeds "$seed" --lr 0.001 --weight-decay 1e-4 \
            --out "$mf/ranker" --quiet
        jq -r --arg head "mf,movie,movie,$k,$seed" '"\($head),,,\(.seeds[0].test_auc)"' "$mf/ranker/report.json" >>"$csv.new"
    done
done
for seed in $seeds; do
    tune_rows movie "$movie/movie_train_rebuilt.json" "$cross" "$seed"
    tune_rows beauty "$out/data/beauty_train.json" "$cross" "$seed"
    score tallrec movie beauty "$out/data/beauty_test.json" "$cross" "$seed" "$out/movie-$cross-$seed/recgen.gguf"
    score tallrec beauty movie "$movie/movie_test.json" "$cross" "$seed" "$out/beauty-$cross-$seed/recgen.gguf"
    score tallrec beauty beauty "$out/data/beauty_test.json" "$cross" "$seed" "$out/beauty-$cross-$seed/recgen.gguf"
done
mv "$csv.new" "$csv"

# Means and standard deviations over the seeds.
awk -F, -v OFS=, 'NR > 1 { key = $1 OFS $2 OFS $3 OFS $4; if (!(key in n)) order[++keys] = key
    n[key]++; for (i = 6; i <= 8; i++) if ($i != "") { c[key, i]++; s[key, i] += $i; q[key, i] += $i * $i } }
    function show(key, i,  k, m, v) { k = c[key, i]; if (!k) return "-,-"; m = s[key, i] / k; v = k > 1 ? (q[key, i] - k * m * m) / (k - 1) : 0
        return sprintf("%.4f,%s", m, k > 1 ? sprintf("%.4f", v > 0 ? sqrt(v) : 0) : "-") }
    END { print "system,train,test,k,runs,auc_published,auc_published_sd,auc_difference,auc_difference_sd,auc,auc_sd"
          for (i = 1; i <= keys; i++) print order[i], n[order[i]], show(order[i], 6), show(order[i], 7), show(order[i], 8) }' \
    "$csv" >"$out/summary.csv"
first=${seeds%% *}
{
    echo run,step,loss
    loss general "$out/stage1"
    for k in $ks; do loss "K=$k" "$out/movie-$k-$first"; done
} >"$out/loss.csv"
"$llmcf" chart "$out/loss.csv" --x step --y loss --by run --title "Training loss of LoRA on q and v, nats per token" --out "$out/loss.svg"
column -s, -t "$out/summary.csv" 2>/dev/null || cat "$out/summary.csv"
