#!/bin/bash
# Our LLaMA training beside PyTorch's: the same shapes, batch and threads, in turns.
#
#     tests/bench/twin_llama.sh BIN_DIR [SHAPE [STEPS [THREADS]]]      prints name,value,unit,machine,commit,date
#
# SHAPE is 15m or 110m (bench_llama_train.c); the ratios are the last lines. PyTorch gets OpenBLAS in its OpenMP flavour (the
# pthread one fights with its threads: six times slower here), the core that this processor has, and its AVX-512 kernels. In bf16 it
# runs by autocast and with bfloat16 weights. Exits with 77 without python3-torch. twin-llama.csv is a run of either.
set -u -o pipefail
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$1 shape=${2:-15m} steps=${3:-3} threads=${4:-$(nproc)} here=$(dirname "$0")
/usr/bin/python3 -c 'import torch' 2>/dev/null || exit 77
core=Haswell
grep -q avx512dq /proc/cpuinfo && core=SkylakeX ATEN_CPU_CAPABILITY=avx512 && export ATEN_CPU_CAPABILITY
machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -s ' ,' ' ') x $(getconf _NPROCESSORS_ONLN)"
commit=$(git -C "$here" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
openmp=$(dirname "$(find /usr/lib -path '*openblas-openmp/libopenblas.so.0' | head -1)")
{
    for precision in f32 bf16; do
        "$bin/bench_llama_train" "$shape" "$precision" "$steps" "$threads" || exit 1
    done
    for mode in f32 autocast bf16; do
        OMP_NUM_THREADS=$threads OPENBLAS_CORETYPE=$core LD_LIBRARY_PATH=$openmp \
            /usr/bin/python3 "$here/twin_llama.py" "$shape" "$mode" "$steps" "$threads" || exit 1
    done
} | awk -F, -v s="llama_$shape" -v where="$machine,$commit,$(date -u +%F)" '
    BEGIN { print "name,value,unit,machine,commit,date" }
    { if (!($1 in value)) print $0 "," where; value[$1] = $2 }
    function over(ours, theirs) {
        printf "%s_%s_over_%s_pytorch,%.2f,times,%s\n", s, ours, theirs, value[s "_" ours] / value[s "_" theirs "_pytorch"], where
    }
    END { over("f32", "f32"); over("bf16", "f32"); over("bf16", "autocast"); over("bf16", "bf16") }'
