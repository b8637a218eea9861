#!/bin/bash
# tokenize, complete and inspect: against records of another implementation, and bad input.
set -euo pipefail
corpus=$LCF_SOURCE_DIR/tests/fuzz/corpus/fuzz_gguf

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# expect_failure CODE PATTERN COMMAND...: the exit code, and a message that names the cause
expect_failure() {
    local code=$1 pattern=$2 got=0
    shift 2
    "$@" >out.txt 2>err.txt </dev/null || got=$?
    [ "$got" = "$code" ] || fail "$* exits with $got, not $code: $(cat err.txt)"
    grep -q -- "$pattern" err.txt || fail "$* says '$(cat err.txt)', not '$pattern'"
}

# A tiny model of our own: whole input, every byte, with and without <s>.
model=$corpus/model_v3.gguf
[ "$(printf 'the the' | "$LLMCF" tokenize --model "$model")" = "1 9 9" ] || fail "tokenize"
[ "$(printf 'the' | "$LLMCF" tokenize --no-bos --model "$model")" = "9" ] || fail "tokenize --no-bos"
printf 'the\n' >text
[ "$("$LLMCF" tokenize --model "$model" --file text --json | jq -c .)" = '{"ids":[1,9,0],"n":3}' ] || fail "tokenize --json"
[ "$("$LLMCF" tokenize --model "$model" </dev/null)" = "1" ] || fail "tokenize of nothing"
one=$("$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt the --max-tokens 4 --seed 3 --json)
two=$("$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt the --max-tokens 4 --seed 3 --json)
[ "$one" = "$two" ] || fail "the same seed gives another text"
[ "$(jq -c '[.prompt_ids, (.ids | length), (.logprobs | length), .finish]' <<<"$one")" = '[[1,9],4,4,"length"]' ] || fail "complete: $one"
[ "$("$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt the --max-tokens 99 --temperature 0 --json | jq -r .finish)" = context ] ||
    fail "the context must end a text"
# the same text, scored instead of written
given=$("$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt the --answer "$(jq -r .text <<<"$one")" --json)
[ "$(jq -c '[.ids, .logprob, .finish]' <<<"$given")" = "$(jq -c '[.ids, .logprob, "given"]' <<<"$one")" ] || fail "complete --answer: $given"
[ "$("$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt the --answer the)" = "$(jq '.logprobs[0]' <<<"$given")" ] || fail "one token of ten"

# chat templates: by name, and none in this file
chat() { "$LLMCF" complete --model "$corpus/model_f16.gguf" --prompt t --max-tokens 1 --json "$@" | jq -c .prompt_ids; }
[ "$(chat --chat-template auto)" = "$(chat)" ] || fail "no template means plain"
expect_failure 1 'context is 8' "$LLMCF" complete --model "$model" --prompt x --system y --chat-template zephyr
expect_failure 2 'chatml' "$LLMCF" complete --model "$model" --prompt x --chat-template poem

# inspect
[ "$("$LLMCF" inspect --json "$model" | jq -c '[.kind, .version, .architecture, .layers, .types.F32.tensors, .vocabulary]')" = \
    '["gguf",3,"llama",1,11,10]' ] || fail "inspect of a model"
"$LLMCF" inspect "$model" | grep -q '^architecture: llama$' || fail "inspect in lines"
sed 's/llama/ll\x1bma/g' "$model" >control.gguf
"$LLMCF" inspect control.gguf | grep -q '^architecture: ll?ma$' || fail "a file commands the terminal"
[ "$("$LLMCF" inspect --json --tensors "$model" | jq -c '[.chat_template, .special_tokens.bos.piece, .tensor_list["blk.0.attn_k.weight"].dims]')" = \
    '["none","<s>",[4,2]]' ] || fail "inspect --tensors"
"$LLMCF" inspect --system --json >system.json 2>/dev/null
[ "$(jq -r '.kind' system.json)" = system ] || fail "inspect --system"
[ "$(jq '.matrix_units | length' system.json)" = 6 ] || fail "units that multiply: $(jq -c .matrix_units system.json)"
if [ "$(jq '.features | any(. == "amx")' system.json)" = true ]; then
    [ "$(jq -r '.matrix_units | [.q8_0, .q4_0, .bf16, .training_bf16] | unique | .[]' system.json)" = amx ] ||
        fail "AMX is there and refused: $(jq -c .matrix_units system.json)"
fi
if grep -q avx2 /proc/cpuinfo; then
    [ "$("$LLMCF" inspect --system --json | jq -r .blas_fast)" = true ] || fail "OpenBLAS runs a fallback core"
fi

# Bad input: a code and a reason.
head -c 1000 "$model" >short.gguf
expect_failure 1 'short.gguf' "$LLMCF" tokenize --model short.gguf
expect_failure 1 'short.gguf' "$LLMCF" complete --model short.gguf --prompt x
expect_failure 1 'short.gguf' "$LLMCF" inspect short.gguf
expect_failure 1 'nothing.gguf' "$LLMCF" complete --model nothing.gguf --prompt x
expect_failure 1 'not a GGUF' "$LLMCF" tokenize --model text
expect_failure 1 'text' "$LLMCF" inspect text
expect_failure 1 'context is 8' "$LLMCF" complete --model "$model" --prompt 'e e e e e e e e'
expect_failure 2 'model' "$LLMCF" tokenize
expect_failure 1 'answer is empty' "$LLMCF" complete --model "$model" --prompt x --answer ''
expect_failure 1 'answer of 8; the model' "$LLMCF" complete --model "$model" --prompt e --answer 'eeeeeeee'
expect_failure 2 'no --beams or --stop' "$LLMCF" complete --model "$model" --prompt e --answer e --beams 2
expect_failure 2 'temperature' "$LLMCF" complete --model "$model" --prompt x --temperature hot
expect_failure 2 'PATH' "$LLMCF" inspect

# A model that was trained elsewhere, where its file is at hand.
real=${LCF_DATA:-}/llama
[ -d "$real" ] || { echo "no shared data: the reference model was not tried"; exit 0; }
for record in "$real"/greedy/stories260K_*.json; do
    for file in stories260k-f32-v3 stories260k-f32-v1; do
        "$LLMCF" complete --model "$real/$file.gguf" --prompt "$(jq -r .prompt "$record")" --max-tokens 64 --temperature 0 --json >got.json
        jq -e -n --slurpfile w "$record" --slurpfile g got.json \
            '($w[0].ids[:64]) as $ids | $g[0] | .prompt_ids == $w[0].prompt_ids and (.ids[:($ids | length)]) == $ids and
             ([.logprobs, $w[0].logprob_of_chosen] | transpose | map(select(.[1] != null)) | all((.[0] - .[1] | fabs) < 1e-3))' >/dev/null ||
            fail "$file does not follow $(basename "$record")"
    done
done
printf 'Hello world' | "$LLMCF" tokenize --model "$real/ggml-vocab-llama-spm.gguf" --no-bos | grep -qx '15043 3186' || fail "SPM"
for type in F16 BF16 Q8_0 Q4_0; do # the first tokens: later ones may part where two are nearly as likely
    "$LLMCF" complete --model "$real/stories260k-${type,,}-v3.gguf" --prompt 'Once upon a time' --max-tokens 20 --temperature 0 --json >got.json
    jq -e -n --slurpfile w "$real/greedy/stories260K-${type}_once.json" --slurpfile g got.json '$g[0].ids == $w[0].ids[:20]' >/dev/null ||
        fail "$type does not follow its record"
done

# a stop string, beams, a penalty; threads change nothing
tale() { "$LLMCF" complete --model "$real/stories260k-q8_0-v3.gguf" --prompt 'Once upon a time' --max-tokens 30 "$@"; }
[ "$(tale --temperature 0 --stop nothing --stop ' girl' | tr -d '\n')" = 'Once upon a time, there was a little' ] || fail "--stop"
[ "$(tale --temperature 0 --stop ' girl' --json | jq -r .finish)" = stop ] || fail "--stop: finish"
[ "$(tale --threads 1 --min-p 0.05)" = "$(tale --threads 3 --min-p 0.05)" ] || fail "--threads changes the text"
likeliest() { tale "$@" --json | jq '.logprobs | add'; }
jq -e -n --argjson beams "$(likeliest --beams 4)" --argjson greedy "$(likeliest --temperature 0)" '$beams >= $greedy - 0.001' >/dev/null ||
    fail "--beams finds a less likely text than --temperature 0"
[ "$(tale --temperature 0 --repeat-penalty 5)" != "$(tale --temperature 0)" ] || fail "--repeat-penalty"
expect_failure 2 'beams' "$LLMCF" complete --model "$model" --prompt x --beams 0
