# judge: any number of threads gives the same bytes, a killed or stopped run goes on, valid and test are predictions.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
"$LLMCF" tune $TUNE --out recgen --steps 5 2>>log
JUDGE="--dataset dataset --model recgen/recgen.gguf --splits train,valid,test"

say "whole, and nothing to do the second time"
"$LLMCF" judge $JUDGE --out whole --threads 2 --json >summary.json 2>>log
jq -e '.train.rows > 600 and .valid.difference.auc > 0 and .test.rows > 0 and .valid.yes_logit.uauc > 0 and .test.tokens_per_row > 10' summary.json >/dev/null || fail "summary"
"$LLMCF" judge $JUDGE --out whole 2>stderr
grep -q 'up to date, nothing done' stderr || fail "a second run did something"
"$LLMCF" judge $JUDGE --out single --threads 1 2>>log
same() { # all but the times, which stand in the manifest and enter no id
    diff -r -x manifest.json "$1" "$2" && [ "$(jq -r .id "$1/manifest.json")" = "$(jq -r .id "$2/manifest.json")" ]
}
same whole single || fail "not the same bytes at one thread"

say "kill -9, SIGTERM"
"$LLMCF" judge $JUDGE --out killed --threads 1 2>>log &
pid=$!
wait_until [ -e killed.partial/part-0.lcf ] || fail "no part appeared"
kill -9 $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
"$LLMCF" judge $JUDGE --out killed --threads 1 2>stopped.log &
pid=$!
until_stoppable $pid
kill -TERM $pid 2>/dev/null || true
code=0
wait $pid || code=$?
[ $code = 75 ] || [ $code = 0 ] || fail "SIGTERM: exit code $code"
"$LLMCF" judge $JUDGE --out killed 2>>log
same whole killed || fail "a run that was killed differs from a whole one"
jq -e '.stats.counts | .asked == .train.rows + .valid.rows + .test.rows and .seconds_per_1000_rows > 0' killed/manifest.json >/dev/null ||
    fail "the cost is not that of all its runs"
[ -e killed.partial ] && fail "killed.partial is still there"

say "a share, and the language model as an arm"
"$LLMCF" judge --dataset dataset --model recgen/recgen.gguf --share 0.2 --out share --json >share.json 2>>log
jq -e --slurpfile all summary.json '.train.rows < 0.3 * $all[0].train.rows and .valid.rows == 0' share.json >/dev/null || fail "share"
[ -e share/valid.lcf ] && fail "predictions of a split that was not asked about"
"$LLMCF" evaluate --a whole --b whole/yes --replicates 200 --out report --json 2>>log >report.json || fail "evaluate"
jq -e --slurpfile all summary.json '(.measures.auc.a.value - $all[0].test.difference.auc | fabs) < 1e-6' report.json >/dev/null ||
    fail "not the AUC that judge says"

say "some users only, and the other arm on their rows"
"$LLMCF" judge --dataset dataset --model recgen/recgen.gguf --splits test --score-users 0.4 --out some --json >some.json 2>>log
jq -e --slurpfile all summary.json '.test.rows > 0 and .test.rows < 0.7 * $all[0].test.rows and .train.rows == 0' some.json >/dev/null || fail "score-users"
"$LLMCF" compare --baseline whole some --replicates 100 --out x 2>>log && fail "compared with other rows"
"$LLMCF" arm whole --rows-of some --out part 2>>log || fail "arm --rows-of"
cmp -s part/test.lcf whole/test.lcf && fail "no row was left out"
[ -e part/valid.lcf ] && fail "a split that --rows-of lacks"
"$LLMCF" evaluate --a part --b some --replicates 100 --out same-rows --json 2>>log >same-rows.json || fail "evaluate"
jq -e '.measures.auc.lift.value == 0 and .measures.logloss.lift.value == 0' same-rows.json >/dev/null || fail "the rows were not asked the same"
"$LLMCF" arm some --rows-of whole --out x 2>stderr && fail "an arm of rows that it lacks"
grep -q 'lacks row' stderr || fail "$(cat stderr)"

say "what it says can be distilled"
"$LLMCF" train --dataset dataset --distill whole --distill-weight 5 --seeds 1 --epochs 1 --out taught --json 2>>log >taught.json || fail "train"
jq -e '.params.distill_weight == 5' taught.json >/dev/null || fail "the report lacks the weight"
"$LLMCF" train --dataset dataset --seeds 1 --epochs 1 --out alone 2>>log || fail "train"
cmp -s taught/best.lcf alone/best.lcf && fail "distillation changes nothing"

say "refusals"
test "$(exit_code "$LLMCF" judge --dataset dataset)" = 2
test "$(exit_code "$LLMCF" judge $JUDGE --out x --splits train,later)" = 2
test "$(exit_code "$LLMCF" judge $JUDGE --out x --model dataset/items.lcf)" = 1
test "$(exit_code "$LLMCF" train --dataset dataset --distill nowhere --out x)" = 1
"$LLMCF" judge --dataset dataset --model recgen/recgen.gguf --splits test --out test-only 2>>log
test "$(exit_code "$LLMCF" train --dataset dataset --distill test-only --out x)" = 1
