#!/bin/bash
# What is left of the speed when another process takes half of one of two processors: ours and llama.cpp's, two threads.
# In proportion would be 0.75: one and a half processors of two. Prints CSV: name,alone,beside,left
#
#     tests/bench/llama_hog.sh BIN LLAMA_CPP_BIN MODEL.gguf
set -eu
bin=$1 peer=$2 model=$3
ours() { "$bin/bench_llama" "$model" 2 16 | awk -F, '$1 == "llama_decode_16" { print $2 }'; }
theirs() {
    "$peer/llama-batched-bench" -m "$model" -c 2048 -b 512 -ub 512 -npp 16 -ntg 32 -npl 16 -t 2 -ngl 0 2>/dev/null |
        awk -F'|' '$4 + 0 { print $9 + 0 }'
}
line() { awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%s,%.0f,%.0f,%.2f\n", n, a, b, b / a }'; }

ours_alone=$(ours)
theirs_alone=$(theirs)
taskset -c 1 sh -c 'while :; do :; done' &
hog=$!
trap 'kill $hog' EXIT
echo "name,alone,beside,left"
line "ours decode 16" "$ours_alone" "$(ours)"
line "peer decode 16" "$theirs_alone" "$(theirs)"
