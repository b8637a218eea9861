#!/bin/bash
# quantize: sizes, what is kept, what is refused, and that a failure leaves nothing behind.
set -euo pipefail
corpus=$LCF_SOURCE_DIR/tests/fuzz/corpus/fuzz_gguf

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

expect_failure() {
    local code=$1 pattern=$2 got=0
    shift 2
    "$@" >out.txt 2>err.txt </dev/null || got=$?
    [ "$got" = "$code" ] || fail "$* exits with $got, not $code: $(cat err.txt)"
    grep -q -- "$pattern" err.txt || fail "$* says '$(cat err.txt)', not '$pattern'"
}

model=$corpus/model_v3.gguf
"$LLMCF" quantize --quiet "$model" bf16.gguf bf16
[ "$("$LLMCF" inspect --json bf16.gguf | jq -c '[.architecture, .vocabulary, .types.BF16.tensors, .types.F32.tensors]')" = \
    '["llama",10,8,3]' ] || fail "bf16: $("$LLMCF" inspect bf16.gguf)"
[ "$(printf 'the the' | "$LLMCF" tokenize --model bf16.gguf)" = "1 9 9" ] || fail "the vocabulary is kept"
"$LLMCF" quantize --quiet "$corpus/model_v1.gguf" q8.gguf Q8_0 # rows of 4: no blocks of 32
[ "$("$LLMCF" inspect --json q8.gguf | jq -c '.types | keys')" = '["F16","F32"]' ] || fail "rows without blocks become F16"

expect_failure 1 'exists: --force' "$LLMCF" quantize "$model" bf16.gguf F16
"$LLMCF" quantize --quiet --force "$model" bf16.gguf F16
[ "$("$LLMCF" inspect --json bf16.gguf | jq -c '.types | keys')" = '["F16","F32"]' ] || fail "--force"
expect_failure 1 'is the input' "$LLMCF" quantize --force bf16.gguf ./bf16.gguf F32
expect_failure 2 'Q2_K' "$LLMCF" quantize "$model" x.gguf Q2_K
expect_failure 2 'needed' "$LLMCF" quantize "$model" x.gguf
expect_failure 1 'no matrix' "$LLMCF" quantize "$corpus/vocabulary_v3.gguf" x.gguf Q8_0
head -c 1000 "$model" >short.gguf
expect_failure 1 'short.gguf' "$LLMCF" quantize short.gguf x.gguf Q8_0
[ -z "$(ls x.gguf* 2>/dev/null)" ] || fail "a failure leaves $(ls x.gguf*)"

# a model in two files: neither is written over
key() { # NAME NUMBER: a key of 32 bits
    printf "\\$(printf %o ${#1})$zeros\0%s\4\0\0\0\\$2\0\0\0" "$1"
}
zeros='\0\0\0\0\0\0'
{
    printf 'GGUF\3\0\0\0\1\0'"$zeros"'\2\0'"$zeros"
    key split.count 2
    key split.no 0
    printf '\1\0'"$zeros"'w\2\0\0\0\4\0'"$zeros"'\2\0'"$zeros\0\0\0\0\0\0$zeros"
} >z-00001-of-00002.gguf
truncate -s 256 z-00001-of-00002.gguf # the matrix
{
    printf 'GGUF\3\0\0\0\0\0'"$zeros"'\2\0'"$zeros"
    key split.count 2
    key split.no 1
} >z-00002-of-00002.gguf
"$LLMCF" quantize --quiet z-00001-of-00002.gguf whole.gguf F16
for file in z-0000[12]-of-00002.gguf; do
    expect_failure 1 'is the input' "$LLMCF" quantize --force z-00001-of-00002.gguf $file F16
done

# a signal: 256 MiB of zeros take long enough to be interrupted
printf 'GGUF\3\0\0\0\1\0'"$zeros"'\0\0'"$zeros"'\1\0'"$zeros"'w\2\0\0\0\0\20'"$zeros"'\0\100'"$zeros\0\0\0\0\0\0$zeros" >big.gguf
truncate -s $((96 + 4096 * 16384 * 4)) big.gguf
"$LLMCF" quantize --quiet big.gguf y.gguf Q4_0 2>err.txt &
pid=$!
until ls y.gguf* >/dev/null 2>&1; do kill -0 $pid || fail "it ended: $(cat err.txt)"; done
kill -TERM $pid
got=0
wait $pid || got=$?
[ "$got" = 75 ] && grep -q 'stopped; nothing was changed' err.txt || fail "a signal: $got, $(cat err.txt)"
[ -z "$(ls y.gguf* 2>/dev/null)" ] || fail "a signal leaves $(ls y.gguf*)"
rm big.gguf

real=${LCF_DATA:-}/llama
[ -d "$real" ] || { echo "no shared data: the reference model was not tried"; exit 0; }
for type in q8_0 q4_0; do
    "$LLMCF" quantize --quiet "$real/stories260k-f32-v3.gguf" "$type.gguf" "$type"
    text=$("$LLMCF" complete --model "$type.gguf" --prompt 'Once upon a time' --max-tokens 20 --temperature 0)
    [ "${text#Once upon a time}" != "$text" ] || fail "$type does not run: $text"
done
[ "$(stat -c %s q4_0.gguf)" -lt "$(stat -c %s q8_0.gguf)" ] || fail "Q4_0 is no smaller than Q8_0"
