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

say "export-sft"
"$LLMCF" export-sft --dataset dataset $SOURCES --source next --template llama2 --rows 50 --out sft --json >sft.json 2>>log
[ "$(jq '[.[]] | add' sft.json)" = 50 ] || fail "rows"
[ "$(jq length sft/alpaca.json)" = 50 ] || fail "rows of alpaca.json"
"$LLMCF" tune $TUNE --source sharegpt:sft/sharegpt.json --dry-run --out dry 2>&1 | grep -q '^  sharegpt ' ||
    fail "what was exported cannot be read"
printf 'Plain text.\n' >text.txt
test "$(exit_code "$LLMCF" export-sft --source text:text.txt --out x)" = 2
