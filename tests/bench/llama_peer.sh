#!/bin/bash
# Our engine beside llama.cpp: the same GGUF files with made-up weights, the same machine, one run after the other, two
# threads, and both beside the floor: the time to read the weights once from memory or to do the products at the processor's
# peak, whichever is longer. Prints CSV: work,ours,peer,ratio,floor,of_floor in tokens/s; a whole job, whose peer is
# llama-server with its prompt cache and a slot for every candidate, in rows/s.
#
#     tests/bench/llama_peer.sh BIN LLAMA_CPP_BIN FOLDER [MODEL:TYPE | job ...] > tests/bench/llama-peer.csv
#
# BIN: the benchmark programs (build/bench/bin). LLAMA_CPP_BIN: llama-bench, llama-batched-bench and llama-server, built
# with -DGGML_NATIVE=ON. FOLDER: for the model files, 2.5 GB, kept. Default: 110m:Q8_0 110m:BF16 110m:F32 1b:Q8_0 job.
set -eu
bin=$1 peer=$2 folder=$3
shift 3
[ $# -gt 0 ] || set -- 110m:Q8_0 110m:BF16 110m:F32 1b:Q8_0 job
ceilings=$("$bin/bench_ceilings")
ceiling() { awk -F, -v name="ceiling_$1" '$1 == name { print $2 }' <<<"$ceilings"; }

# work, ours, peer, floor
line() {
    awk -v w="$1" -v o="$2" -v p="$3" -v f="$4" 'BEGIN { printf "%s,%.0f,%.0f,%.2f,%.0f,%.2f\n", w, o, p, o / p, f, o / f }'
}

# tokens/s at best: BATCH tokens read BYTES of weights once and take 2 operations per weight and token
floor() { # bytes, weights, batch, peak of one core
    awk -v b="$1" -v w="$2" -v n="$3" -v g="$4" -v m="$(ceiling memory_2)" \
        'BEGIN { r = b / m / 1e9; c = 2 * w * n / (2 * g * 1e9); print n / (r > c ? r : c) }'
}

compare() {
    local shape=$1 type=$2 file=$folder/$1-$2.gguf peak=int8 weights=109.5e6 batches="1 16 32" bytes ours theirs n
    [ "$shape" = 1b ] && weights=1034e6 batches="1 16"
    [ "$shape" = 15m ] && weights=15.2e6
    case $type in F32 | F16) peak=f32 ;; BF16) peak=bf16 ;; esac
    [ -e "$file" ] || "$bin/make_gguf" "$file" "$shape" "$type"
    bytes=$(stat -c %s "$file")
    # shellcheck disable=SC2086
    ours=$("$bin/bench_llama" "$file" 2 $batches)
    theirs=$("$peer/llama-batched-bench" -m "$file" -c 2048 -b 512 -ub 512 -npp 16 -ntg 32 -npl "${batches// /,}" -t 2 \
        -ngl 0 2>/dev/null | awk -F'|' '$4 + 0 { print $4 + 0, $9 + 0 }')
    for n in $batches; do
        line "$shape $type decode $n" "$(awk -F, -v k="llama_decode_$n" '$1 == k { print $2 }' <<<"$ours")" \
            "$(awk -v n="$n" '$1 == n { print $2 }' <<<"$theirs")" "$(floor "$bytes" $weights "$n" "$(ceiling $peak)")"
    done
    theirs=$("$peer/llama-bench" -m "$file" -t 2 -p 512 -n 0 -r 2 -o csv 2>/dev/null | tail -1 | awk -F'","' '{ print $(NF - 1) }')
    line "$shape $type prefill 512" "$(awk -F, '$1 == "llama_prefill_512" { print $2 }' <<<"$ours")" "$theirs" \
        "$(floor "$bytes" $weights 512 "$(ceiling $peak)")"
}

job() {
    local file=$folder/110m-Q8_0.gguf rows=4 slots=12 port=18097 server ours theirs
    [ -e "$file" ] || "$bin/make_gguf" "$file" 110m Q8_0
    "$peer/llama-server" -m "$file" -t 2 -np $slots -c $((slots * 512)) --port $port >/dev/null 2>&1 &
    server=$!
    # shellcheck disable=SC2064
    trap "kill $server" EXIT
    for ((i = 0; i < 120; i++)); do
        curl -sf http://127.0.0.1:$port/health >/dev/null && break
        sleep 0.5
    done
    theirs=$(python3 tests/bench/job_peer.py http://127.0.0.1:$port $rows $slots | awk -F, '/_rows/ { print $2 }')
    kill $server
    wait $server 2>/dev/null || true
    trap - EXIT
    ours=$("$bin/bench_job" "$file" 2 $rows $slots | awk -F, '$1 == "cot_rows" { print $2 }')
    awk -v o="$ours" -v p="$theirs" -v n="$rows" 'BEGIN { printf "110m Q8_0 job of %d x 3 texts,%.2f,%.2f,%.2f,,\n", n, o, p, o / p }'
}

echo "work,ours,peer,ratio,floor,of_floor"
for each in "$@"; do
    if [ "$each" = job ]; then job; else compare "${each%:*}" "${each#*:}"; fi
done
sed 's/^/# /' <<<"$ceilings"
