#!/bin/bash
# Our LLaMA training on one core beside what else trains language models in C and C++ on processors: llm.c's GPT-2 of 124 M parameters, and
# llama.cpp's fine-tuning at its last commit that works (eacdeb5bf; later ones abort) of 15 M and 110 M. In turns, made-up weights.
#
#     tests/bench/train_peers.sh BIN_DIR LLM_C LLAMA_CPP_BIN FOLDER [SECONDS]     prints name,value,unit,machine,commit,date
#
# LLM_C is its folder after `make train_gpt2`, LLAMA_CPP_BIN has llama-finetune, built with -DGGML_NATIVE=ON; FOLDER is for models and texts (1 GB,
# kept). Each peer trains for SECONDS (default 60). All in their own precision: theirs is f32, ours is bf16 and, beside it, f32. A step of llm.c has 4 x 64
# tokens, of llama.cpp 256, ours as many as llm.c's at 124 M, else 4 x 256. Needs python3-numpy.
set -eu -o pipefail
[ $# -ge 4 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$(realpath "$1") llm_c=$(realpath "$2") llama_cpp=$(realpath "$3") seconds=${5:-60}
commit=$(git -C "$(dirname "$0")" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -s ' ,' ' ') x $(getconf _NPROCESSORS_ONLN)"
mkdir -p "$4"
cd "$4"
export OMP_NUM_THREADS=1

# What llm.c reads: random weights of GPT-2's sizes, random tokens.
if [ ! -e gpt2_124M.bin ]; then
    mkdir -p dev/data/tinyshakespeare
    /usr/bin/python3 - <<'END'
import numpy as np
random = np.random.default_rng(1)
dim, layers, context, vocab, padded = 768, 12, 1024, 50257, 50304
values = (padded + context) * dim + layers * (12 * dim * dim + 13 * dim) + 2 * dim
def header(*numbers):
    return np.array(numbers + (0,) * (256 - len(numbers)), np.int32).tobytes()
for split in 'train', 'val':
    with open(f'dev/data/tinyshakespeare/tiny_shakespeare_{split}.bin', 'wb') as out:
        out.write(header(20240520, 1, 200000) + random.integers(0, vocab, 200000).astype(np.uint16).tobytes())
with open('gpt2_124M.bin.new', 'wb') as out:
    out.write(header(20240326, 3, context, vocab, layers, 12, dim, padded) + (0.02 * random.standard_normal(values, dtype=np.float32)).tobytes())
END
    mv gpt2_124M.bin.new gpt2_124M.bin
fi
for shape in 15m 110m; do
    [ -e $shape.gguf ] || "$bin/make_gguf" $shape.gguf $shape F32
done
awk 'BEGIN { srand(1); for (i = 0; i < 60000; i++) printf "%c%s", 97 + int(26 * rand()), i % 6 ? "" : i % 60 ? " " : "\n" }' >text.txt

# llm.c says how long each step took: the median of all but the first.
run_llm_c() {
    { timeout "$seconds" stdbuf -oL "$llm_c/train_gpt2" 2>&1 || [ $? = 124 ]; } |
        sed -n 's/^step [1-9][0-9]*: .*(took \([0-9.]*\) ms).*/\1/p' | sort -n |
        awk '{ t[NR] = $1 } END { if (!NR) exit 1; printf "llm_c_124m,%.1f,tokens/s\n", 4 * 64 * 1000 / t[int((NR + 1) / 2)] }'
}
# llama.cpp rewrites a line of progress, data=DONE/ALL ... t=HH:MM:SS; a row has 256 tokens.
run_llama_cpp() { # SHAPE
    { timeout "$seconds" stdbuf -oL -eL "$llama_cpp/llama-finetune" -m $1.gguf -f text.txt -c 256 -b 256 -ub 256 -t 1 2>&1 || [ $? = 124 ]; } |
        tr '\r' '\n' | sed -n 's/.*data=0*\([0-9]*\)\/.* t=\([0-9]*\):\([0-9]*\):\([0-9]*\).*/\1 \2 \3 \4/p' |
        awk -v shape="$1" '{ rows = $1; t = 3600 * $2 + 60 * $3 + $4 } END { if (!t) exit 1; printf "llama_cpp_%s,%.1f,tokens/s\n", shape, rows * 256 / t }'
}
ours() { "$bin/bench_llama_train" "$1" "$2" 6 1 | grep -E "_$2(_ceiling)?,"; }

{
    ours 124m bf16
    ours 124m f32
    run_llm_c
    for shape in 15m 110m; do
        ours $shape bf16
        ours $shape f32
        run_llama_cpp $shape
    done
} | awk -F, -v where="$machine,$commit,$(date -u +%F)" '
    BEGIN { print "name,value,unit,machine,commit,date" }
    { print $0 "," where; value[$1] = $2 }
    function over(shape, precision, peer) {
        printf "llama_%s_%s_over_%s,%.2f,times,%s\n", shape, precision, peer, value["llama_" shape "_" precision] / value[peer "_" shape], where
    }
    END { over("124m", "bf16", "llm_c"); over("124m", "f32", "llm_c")
          over("15m", "bf16", "llama_cpp"); over("15m", "f32", "llama_cpp"); over("110m", "bf16", "llama_cpp"); over("110m", "f32", "llama_cpp") }'
