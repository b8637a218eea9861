# tune: killed and stopped at any moment, it goes on and ends with the bytes of an undisturbed run.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"

say "undisturbed"
"$LLMCF" tune $TUNE --out whole --json >summary.json 2>>log
jq -e '.steps == 40 and (.after.cot_perplexity < .before.cot_perplexity) and .after.auc != null' \
    summary.json >/dev/null || fail "summary"
[ ! -e whole.work ] || fail "the work folder is left over"
jq -e '.before.auc_rows == .after.auc_rows and .before.cot_tokens == .after.cot_tokens and .after.cot_tokens > 0' \
    summary.json >/dev/null || fail "the measures before and after are of other rows"
"$LLMCF" tune $TUNE --out whole --json >again.json 2>>log
grep -q "up to date" log || fail "a second run did something"
[ "$(jq -cS '[.steps, .tokens, .before, .after]' again.json)" = "$(jq -cS '[.steps, .tokens, .before, .after]' summary.json)" ] ||
    fail "what is up to date is summed up with other figures"

if python3 -c 'import jsonschema' 2>/dev/null; then
    for report in whole/report.json "$LCF_SOURCE_DIR/schemas/examples/tuning_report.json"; do
        python3 -m jsonschema -i $report "$LCF_SOURCE_DIR/schemas/tuning_report.schema.json" 2>>log ||
            fail "$report is not of its schema"
    done
fi

say "two threads make the same bytes"
"$LLMCF" tune $TUNE --out threads --threads 2 2>>log
cmp whole/recgen.gguf threads/recgen.gguf
cmp whole/report.json threads/report.json

say "kill -9, then SIGTERM, then to the end"
kills=0
for pause in 0.3 0.5 0.4 0.6; do
    "$LLMCF" tune $TUNE --out parts 2>>log &
    pid=$!
    sleep $pause
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null || true
    [ -e parts ] && break
done
[ -e parts ] || {
    "$LLMCF" tune $TUNE --out parts 2>>log &
    pid=$!
    until_stoppable $pid
    kill -TERM $pid 2>/dev/null || true
    code=0
    wait $pid || code=$?
    [ $code = 75 ] || [ $code = 0 ] || fail "SIGTERM: exit code $code"
}
[ -e parts ] || "$LLMCF" tune $TUNE --out parts 2>>log
[ $kills -gt 0 ] || fail "no run was killed: the pauses are too long for this machine"
cmp whole/recgen.gguf parts/recgen.gguf
cmp whole/report.json parts/report.json

say "a time limit"
"$LLMCF" tune $TUNE --out quick --steps 100000 --minutes 0.02 --json 2>>log |
    jq -e '.steps >= 10 and .steps < 100000 and .seconds < 20' >/dev/null || fail "time limit"

say "refusals"
test "$(exit_code "$LLMCF" tune --out x)" = 2
test "$(exit_code "$LLMCF" tune $TUNE --out x --dim 33 --heads 4)" = 2
test "$(exit_code "$LLMCF" tune $TUNE --out x --model raw/items.tsv)" = 1
printf '[{"instruction": "a"}]' >bad.json
test "$(exit_code "$LLMCF" tune $TUNE --out x --source decide --source alpaca:bad.json)" = 1
grep -q 'bad.json:1: "output" must be a string' log || fail "message"
test "$(exit_code "$LLMCF" tune $TUNE --out x --cutoff 32)" = 1
grep -q "no answer fits into a row of 32 tokens" log || fail "message of a cutoff that takes every answer"
[ ! -e x ] || fail "an artefact of a failed run"
