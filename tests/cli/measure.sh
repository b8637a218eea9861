# measure and export-sft: any model is measured, a mixture goes out and is read back, up-to-date steps do nothing.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"

cat >general.jsonl <<'END'
{"instruction": "Name a colour", "output": "Green."}
{"instruction": "Answer Yes or No.", "input": "Is \"No\" a word?", "output": "Yes."}
{"instruction": "Answer Yes or No.", "input": "Is it late?", "output": "No."}
END
grep 'Yes or No' general.jsonl >yes_no.jsonl
SOURCES="--source decide --source explain --source alpaca:general.jsonl,hold=0.5 --mix rec=0.7"
"$LLMCF" tune $TUNE $SOURCES --out recgen --quiet 2>>log

say "--dry-run trains nothing and says what would be trained on"
"$LLMCF" tune $TUNE $SOURCES --out dry --dry-run 2>table
grep -qE '^  decide +rec +0\.350 ' table || fail "the table of the mixture"
[ ! -e dry ] && [ ! -e dry.work ] || fail "a dry run wrote something"

say "measure"
"$LLMCF" measure --model recgen/recgen.gguf --dataset dataset $SOURCES --eval-rows 1 --out m 2>>log && fail "an option of tune"
"$LLMCF" measure --model recgen/recgen.gguf --dataset dataset $SOURCES --auc-rows 40 --yes-no yes_no.jsonl --out measured \
    --json >measured.json 2>>log
jq -S .after recgen/report.json >after.json
jq -S .measures measured.json | cmp - after.json || fail "measure and tune disagree about the same model"
[ "$(jq -c '[.yes_no.rows, .yes_no.yes]' measured.json)" = '[2,1]' ] || fail "Yes or No rows"
[ "$(head -1 measured/yes_no.tsv)" = "$(printf 'key\tuser\tlabel\tscore\tdifference')" ] || fail "columns of scores"
"$LLMCF" measure --model recgen/recgen.gguf --dataset dataset $SOURCES --auc-rows 40 --yes-no yes_no.jsonl --out measured 2>&1 |
    grep -q 'up to date' || fail "measured twice"
"$LLMCF" measure --model recgen/recgen.gguf --yes-no general.jsonl --out x 2>&1 |
    grep -q 'general.jsonl: row 1 answers neither Yes nor No' || fail "a row without an answer"
test "$(exit_code "$LLMCF" measure --model recgen/recgen.gguf --out x)" = 2
[ ! -e x ] || fail "measures of a failed run"

say "other questions are another measurement, and another tuning"
mkdir -p exam/dev exam/val
for i in 1 2 3 4 5; do echo "q$i,a,b,c,d,A"; done >exam/dev/cats_dev.csv
echo 'q,a,b,c,d,A' >exam/val/cats_val.csv
CHOICE="--model recgen/recgen.gguf --choice exam --out chosen --json"
"$LLMCF" measure $CHOICE >first.json 2>>log
echo 'r,a,b,c,d,B' >>exam/val/cats_val.csv
"$LLMCF" measure $CHOICE >second.json 2>>log
[ "$(jq .measures.choice.rows first.json second.json | xargs)" = '1 2' ] || fail "measures of questions that have changed"
"$LLMCF" measure $CHOICE 2>&1 >/dev/null | grep -q 'up to date' || fail "measured the same questions twice"
"$LLMCF" tune $TUNE $SOURCES --choice exam --out recgen --quiet 2>>log
[ "$(jq .after.choice.rows recgen/report.json)" = 2 ] || fail "an exam added to a tuning that was made without"

say "export-sft"
"$LLMCF" export-sft --dataset dataset $SOURCES --source next --template llama2 --rows 50 --out sft --json >sft.json 2>>log
[ "$(jq '[.[]] | add' sft.json)" = 50 ] || fail "rows"
[ "$(jq length sft/alpaca.json)" = 50 ] || fail "rows of alpaca.json"
"$LLMCF" tune $TUNE --source sharegpt:sft/sharegpt.json --dry-run --out dry 2>&1 | grep -q '^  sharegpt ' ||
    fail "what was exported cannot be read"
printf 'Plain text.\n' >text.txt
test "$(exit_code "$LLMCF" export-sft --source text:text.txt --out x)" = 2

say "a store is a source by its records, without a manifest too"
"$LCF_BIN_DIR/cot_fixture" dataset cot 8 forward
COT="--dataset dataset --source cot:cot --out sft-cot --json"
few=$("$LLMCF" export-sft $COT 2>>log | jq .cot)
"$LCF_BIN_DIR/cot_fixture" dataset cot 3 forward
more=$("$LLMCF" export-sft $COT 2>>log | jq .cot)
[ "$few" -gt 0 ] && [ "$more" -gt "$few" ] || fail "$few rows of a store, and $more of it when it had grown"

say "import"
"$LLMCF" import "$LCF_SOURCE_DIR/tests/parity/golden/import" --tokenizer "$LCF_SOURCE_DIR/schemas/examples/recgen.gguf" --out imported.gguf 2>>log
"$LLMCF" complete --model imported.gguf --prompt "the cat" --max-tokens 3 >/dev/null 2>>log || fail "an imported model does not complete"
test "$(exit_code "$LLMCF" import "$LCF_SOURCE_DIR/tests/parity/golden/import" --tokenizer "$LCF_SOURCE_DIR/schemas/examples/recgen.gguf" --out imported.gguf)" = 2
test "$(exit_code "$LLMCF" import . --tokenizer imported.gguf --out x)" = 1
[ ! -e x ] || fail "a model of a failed import"

mkdir biased
cp "$LCF_SOURCE_DIR"/tests/parity/golden/import/* biased
jq '.attention_bias = true' "$LCF_SOURCE_DIR/tests/parity/golden/import/config.json" >biased/config.json
test "$(exit_code "$LLMCF" import biased --tokenizer "$LCF_SOURCE_DIR/schemas/examples/recgen.gguf" --out x)" = 1
[ ! -e x ] || fail "a model without its biases"

say "chart"
printf 'run,step,loss\na,1,4.5\na,2,3.5\nb,1,4\nb,2,-\n' >loss.csv
"$LLMCF" chart loss.csv --x step --y loss --by run --out loss.svg 2>>log
[ "$(grep -c '<polyline' loss.svg)" = 4 ] || fail "two series and their legend"
[ "$(grep -c '<circle' loss.svg)" = 3 ] || fail "three points"
test "$(exit_code "$LLMCF" chart loss.csv --x step --y gain --out x.svg)" = 1
printf 'system,lift,low,high\nbase,,,\nict,0.01,0.005,0.015\nkar,0.002,-0.001,0.006\ntext,-0.01,-0.02,-0.005\n' >lifts.csv
"$LLMCF" chart lifts.csv --y system --x lift --low low --high high --out lifts.svg 2>>log
[ "$(grep -o '<circle class="[a-z]*"' lifts.svg | tr '\n' ' ')" = '<circle class="good" <circle class="dot" <circle class="bad" ' ] ||
    fail "three intervals: better, not to tell, worse: $(cat lifts.svg)"
test "$(exit_code "$LLMCF" chart lifts.csv --y system --x lift --low low --out x.svg)" = 2
