#!/bin/bash
# A full run of DIN by `llmcf train` and by PyTorch, from the same initial weights and batches: valid and test AUC of both.
#
#     tests/bench/twin_auc.sh BIN_DIR DATASET_DIR [EPOCHS [SEED]]      DATASET_DIR: made by `llmcf prepare`
#
# Both keep the epoch of the best valid AUC. Exits with 1 when their test AUC differs by more than .001.
set -eu -o pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1 dataset=$2 epochs=${3:-8} seed=${4:-2023} here=$(dirname "$0")
lr=0.003 decay=1e-4 batch=256
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell
grep -q avx512dq /proc/cpuinfo && OPENBLAS_CORETYPE=SkylakeX
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/twin_export" "$dataset" "$seed" "$epochs" "$work"
"$bin/llmcf" train --dataset "$dataset" --out "$work/ranker" --seeds "$seed" --epochs "$epochs" --patience "$epochs" \
    --lr $lr --weight-decay $decay --batch $batch --dropout 0 --threads 1 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
/usr/bin/python3 "$here/twin_training.py" train "$dataset" "$work" $lr $decay $batch >"$work/twin.json"
jq -r '.seeds[0].epochs[] | .valid_auc' "$work/ranker/report.json" >"$work/ours"
jq -r '[.epoch, .valid_auc, .test_auc] | @tsv' "$work/twin.json" | paste - "$work/ours" |
    awk '{ printf "epoch %d: valid AUC ours %.5f, PyTorch %.5f\n", $1, $4, $2 }'
ours=$(jq '.seeds[0].test_auc' "$work/ranker/report.json")
twin=$(jq -s 'max_by(.valid_auc) | .test_auc' "$work/twin.json")
awk -v a="$ours" -v b="$twin" 'BEGIN {
    d = a - b; printf "test AUC ours %.5f, PyTorch %.5f, difference %+.5f\n", a, b, d; exit (d > .001 || d < -.001)
}'
