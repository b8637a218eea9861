#!/bin/bash
# Our training beside PyTorch's: same model, data and batches, one thread each, in turns.
#
#     tests/bench/twin.sh BIN_DIR [ROUNDS [STEPS]]      prints name,value,unit: the best round of each, and their ratio
#
# The best of a few rounds is what a machine that others use would have shown alone. Exits with 77 without python3-torch.
set -u -o pipefail
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1 rounds=${2:-3} steps=${3:-60} here=$(dirname "$0")
/usr/bin/python3 -c 'import torch' 2>/dev/null || exit 77
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# PyTorch's OpenBLAS does not know newer processors and would take its slowest kernels.
core=Haswell
grep -q avx512dq /proc/cpuinfo && core=SkylakeX
world=$(mktemp -d) || exit 1
trap 'rm -rf "$world"' EXIT
for ((i = 0; i < rounds; i++)); do
    "$bin/bench_training" "$steps" "$world" || exit 1
    OPENBLAS_CORETYPE=$core /usr/bin/python3 "$here/twin_training.py" speed "$world" "$steps" || exit 1
done >"$world/all"
awk -F, '
    $1 == "name" { next }
    !($1 in best) || $2 > best[$1] { if (!($1 in best)) order[n++] = $1; best[$1] = $2; unit[$1] = $3 }
    END {
        print "name,value,unit"
        for (i = 0; i < n; i++)
            print order[i] "," best[order[i]] "," unit[order[i]]
        printf "train_din_over_pytorch,%.2f,times\n", best["train_din"] / best["train_din_pytorch"]
        printf "train_din_ict_over_pytorch,%.2f,times\n", best["train_din_ict"] / best["train_din_ict_pytorch"]
        if ("train_din_ict_bf16" in best) {
            printf "train_din_bf16_over_pytorch,%.2f,times\n", best["train_din_bf16"] / best["train_din_pytorch"]
            printf "train_din_ict_bf16_over_pytorch,%.2f,times\n", best["train_din_ict_bf16"] / best["train_din_ict_pytorch"]
        }
    }' "$world/all"
