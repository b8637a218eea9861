# LoRA: a base, an adapter beside it, merged; what does not fit is refused by name; stopped runs go on.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"

say "a base, then an adapter on it"
"$LLMCF" tune $TUNE --out base --steps 30 2>>log
LORA="$TUNE --model base/recgen.gguf --lora-rank 4 --lora-alpha 8 --lora-dropout 0.1 --lora-targets attn_*,ffn_down"
LORA="$LORA --steps 20 --lr 0.01 --accumulate 2 --schedule linear"
"$LLMCF" tune $LORA --out tuned --json >summary.json 2>>log
jq -e '.after.cot_perplexity < .before.cot_perplexity' summary.json >/dev/null || fail "it learned nothing"
jq -e '.model.trained < .model.parameters / 2' tuned/report.json >/dev/null || fail "too much was trained"
"$LLMCF" inspect tuned/adapter.gguf 2>>log | grep -q 'tensors: 20' || fail "not 2 layers of 5 adapters"

say "the merged model is what tune wrote"
"$LLMCF" merge --model base/recgen.gguf --adapter tuned/adapter.gguf --out merged.gguf 2>>log
cmp merged.gguf tuned/recgen.gguf

say "stopped and resumed, and on two threads: the same bytes"
kill_and_resume() { # OUT OPTIONS...
    local out=$1 pid
    shift
    for pause in 0.3 0.5; do
        "$LLMCF" tune "$@" --checkpoint-every 3 --out $out 2>>log &
        pid=$!
        sleep $pause
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        [ -e $out ] && break
    done
    [ -e $out ] || "$LLMCF" tune "$@" --checkpoint-every 3 --threads 2 --out $out 2>>log
}
kill_and_resume again $LORA
cmp tuned/recgen.gguf again/recgen.gguf
cmp tuned/adapter.gguf again/adapter.gguf
cmp tuned/report.json again/report.json
for method in "--precision bf16" "--optimizer sgd --lr 0.1 --freeze-embeddings --recompute"; do
    "$LLMCF" tune $TUNE --steps 12 $method --out whole --force 2>>log
    rm -rf parts
    kill_and_resume parts $TUNE --steps 12 $method
    cmp whole/recgen.gguf parts/recgen.gguf
done

say "from an adapter"
"$LLMCF" tune $TUNE --model base/recgen.gguf --adapter tuned/adapter.gguf --steps 5 --out further 2>>log
"$LLMCF" inspect further/adapter.gguf 2>>log | grep -q 'tensors: 20' || fail "other matrices"

say "refusals"
refused() { # TEXT COMMAND...
    local text=$1
    shift
    "$@" 2>err >/dev/null && fail "not refused: $*"
    grep -q "$text" err || fail "'$(cat err)' does not say '$text'"
}
printf "{\"instruction\": \"a\", \"output\": \"\"}\n" >silent.jsonl
refused "its rows have no answer" "$LLMCF" tune $TUNE --out x --source alpaca:silent.jsonl,hold=0
printf "{\"instruction\": \"a\", \"output\": \"b\"}\n" >>silent.jsonl
refused "all are held out" "$LLMCF" tune $TUNE --out x --source alpaca:silent.jsonl,hold=1
refused "needs the --model" "$LLMCF" tune $TUNE --out x --lora-rank 4
refused "no matrix matches" "$LLMCF" tune $TUNE --out x --model base/recgen.gguf --lora-rank 4 --lora-targets nothing
refused "is an input" "$LLMCF" merge --force --model base/recgen.gguf --adapter tuned/adapter.gguf --out ./base/recgen.gguf
refused "an adapter for the model" "$LLMCF" merge --model tuned/recgen.gguf --adapter tuned/adapter.gguf --out x.gguf
refused "no LoRA adapter" "$LLMCF" merge --model base/recgen.gguf --adapter base/recgen.gguf --out x.gguf
head -c 3000 tuned/adapter.gguf >cut.gguf
refused "cut.gguf" "$LLMCF" merge --model base/recgen.gguf --adapter cut.gguf --out x.gguf
refused "the checkpoint in .* stands" "$LLMCF" tune $TUNE --out x --lr 10 --optimizer sgd --clip 0 --momentum 0.99 --steps 200
[ ! -e x ] && [ ! -e x.gguf ] || fail "a refused run wrote something"
