# generate: killed at any moment nothing is lost or made twice; threads, stops, a full disk.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
"$LLMCF" tune $TUNE --out recgen --steps 10 2>>log
GENERATE="--dataset dataset --model recgen/recgen.gguf --share 0.2 --max-tokens 100 --threads 2"

say "undisturbed"
"$LLMCF" generate $GENERATE --out whole --json >summary.json 2>>log
jq -e '.rows_generated == .rows_chosen and .rows_chosen > 100' summary.json >/dev/null ||
    fail "summary"
"$LLMCF" store export --cot whole --out whole.jsonl 2>>log
rows=$(jq .rows_chosen summary.json)
jq -se 'group_by(.reject_reason) | map({key: (.[0].reject_reason | if . == "" then "kept" else . end), value: length}) | from_entries' \
    whole.jsonl >reasons.json
"$LLMCF" inspect --json whole 2>>log | jq -e --slurpfile reasons reasons.json \
    '.kind == "artefact" and .store.reasons == $reasons[0] and ($reasons[0] | length > 1)' >/dev/null || fail "reasons are not counted"
jq -se 'all(.[]; (.reject_reason == "") or .score == 0)' whole.jsonl >/dev/null || fail "a rejected text has a score"
[ "$(jq -r .key whole.jsonl | sort -u | wc -l)" = "$(wc -l <whole.jsonl)" ] || fail "a duplicate"
"$LLMCF" generate $GENERATE --out whole --json 2>>log |
    jq -e --argjson rows "$rows" '.current and .rows_chosen == $rows and .rows_present == $rows and .rows_generated == 0' >/dev/null ||
    fail "a second run did something"

say "one thread and the old name of the option"
"$LLMCF" generate $GENERATE --cot single --threads 1 2>>log
"$LLMCF" store export --cot single 2>>log >single.jsonl
cmp whole.jsonl single.jsonl

say "kill -9 again and again"
kills=0
for pause in 0.15 0.3 0.2 0.4 0.25 0.5; do
    "$LLMCF" generate $GENERATE --out parts 2>>log &
    pid=$!
    sleep $pause
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null || true
done
[ $kills -gt 0 ] || fail "no run was killed: the pauses are too long for this machine"
say "SIGTERM: finish the groups in flight, 75"
"$LLMCF" generate $GENERATE --out stopped 2>stopped.log &
pid=$!
wait_until grep -q "generate rows" stopped.log || true # at work
kill -TERM $pid 2>/dev/null || true
code=0
wait $pid || code=$?
[ $code = 75 ] || [ $code = 0 ] || fail "SIGTERM: exit code $code"
for store in parts stopped; do
    "$LLMCF" generate $GENERATE --out $store --json >$store.json 2>>log
    jq -e --argjson rows "$rows" \
        '.current or (.rows_chosen == $rows and .rows_present + .rows_generated == $rows)' \
        $store.json >/dev/null || fail "$store: not exactly what was missing"
    "$LLMCF" store export --cot $store 2>>log >$store.jsonl
    cmp whole.jsonl $store.jsonl
done

say "a full disk: an error, what was committed stays"
code=0
(
    ulimit -f 96 # KiB blocks of one file: the store cannot grow beyond
    exec "$LLMCF" generate $GENERATE --out full
) >full.log 2>&1 || code=$?
[ $code = 1 ] || fail "full disk: exit code $code"
grep -qi "space\|large" full.log || fail "full disk: message $(tail -1 full.log)"
"$LLMCF" store export --cot full 2>>log >full.jsonl
[ -z "$(grep -vxFf whole.jsonl full.jsonl)" ] || fail "full disk: a record that is none"
"$LLMCF" generate $GENERATE --out full 2>>log
"$LLMCF" store export --cot full 2>>log >full.jsonl
cmp whole.jsonl full.jsonl

say "a changed model invalidates, a larger share adds"
"$LLMCF" tune $TUNE --out other --steps 5 2>>log
"$LLMCF" generate $GENERATE --out whole --model other/recgen.gguf --json 2>>log |
    jq -e '.rows_present == 0' >/dev/null || fail "another model's records were taken"
"$LLMCF" generate $GENERATE --out single --share 0.3 --json 2>>log |
    jq -e --argjson rows "$rows" '.rows_present == $rows and .rows_generated > 0' >/dev/null ||
    fail "a larger share"

say "a chat template is part of what was asked"
"$LLMCF" generate $GENERATE --out chat --share 0.02 --chat-template zephyr 2>>log
"$LLMCF" store export --cot chat 2>>log | jq -s -e 'length > 0 and all(.prompt | endswith(" chat=zephyr"))' >/dev/null ||
    fail "the template is not in the prompt's version"
"$LLMCF" generate $GENERATE --out auto --share 0.02 2>>log
"$LLMCF" generate $GENERATE --out auto --share 0.02 --chat-template plain --json 2>>log | jq -e .current >/dev/null ||
    fail "a model without a template gets plain prompts"

say "beams, filters and stop strings: part of what was asked, the same on one thread"
SEARCH="--share 0.01 --max-tokens 40 --beams 4 --min-p 0.01 --repeat-penalty 1.05 --stop user"
"$LLMCF" generate $GENERATE $SEARCH --out beams 2>>log
"$LLMCF" generate $GENERATE $SEARCH --out beams1 --threads 1 --slots 4 2>>log
for store in beams beams1; do "$LLMCF" store export --cot $store 2>>log >$store.jsonl; done
cmp beams.jsonl beams1.jsonl
jq -s -e 'length > 0 and all(.[]; (.text | contains("user") | not) and
    (.sampling | test(" min_p=0.01 repeat_penalty=1.05 beams=4 stops=[0-9a-f]{32}$")))' beams.jsonl >/dev/null ||
    fail "a record of a search: $(head -1 beams.jsonl)"
"$LLMCF" generate $GENERATE $SEARCH --out beams --stop item --json 2>>log | jq -e '.rows_present == 0' >/dev/null ||
    fail "records with another stop string were taken"

say "weights of the score are part of what was asked"
WEIGHTS="$LCF_SOURCE_DIR/schemas/examples/score_weights.json"
"$LLMCF" generate $GENERATE --share 0.01 --max-tokens 40 --score-weights "$WEIGHTS" --out weighed 2>>log
"$LLMCF" store export --cot weighed 2>>log |
    jq -s -e 'length > 0 and all(.[]; .sampling | test(" score=[0-9a-f]{32}$"))' >/dev/null || fail "the weights are not in the record"
jq '.features.hedges.weight = 0.5' "$WEIGHTS" >changed.json
"$LLMCF" generate $GENERATE --share 0.01 --max-tokens 40 --score-weights changed.json --out weighed --json 2>>log |
    jq -e '.rows_present == 0' >/dev/null || fail "records of other weights were taken"
jq 'del(.features.hedges)' "$WEIGHTS" >lacking.json
test "$(exit_code "$LLMCF" generate $GENERATE --score-weights lacking.json --out x)" = 1

say "refusals"
test "$(exit_code "$LLMCF" generate $GENERATE --out x --beams 2)" = 2
test "$(exit_code "$LLMCF" generate --dataset dataset --endpoint http://127.0.0.1:1 --model-name m --out x --beams 3)" = 2
test "$(exit_code "$LLMCF" export-requests --dataset dataset --model-name m --out x --beams 3)" = 2
test "$(exit_code "$LLMCF" generate $GENERATE --out x --stop "")" = 2
test "$(exit_code "$LLMCF" generate $GENERATE --out x --chat-template poem)" = 2
test "$(exit_code "$LLMCF" generate --dataset dataset)" = 2
test "$(exit_code "$LLMCF" generate $GENERATE --out x --template poem)" = 2
test "$(exit_code "$LLMCF" generate $GENERATE --out x --share 0)" = 2
head -c 2000 recgen/recgen.gguf >torn.gguf
test "$(exit_code "$LLMCF" generate $GENERATE --out x --model torn.gguf)" = 1
test "$(exit_code "$LLMCF" store export --cot nowhere)" = 1
