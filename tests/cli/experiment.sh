#!/bin/bash
# llmcf experiment: the example, exit codes of the gate and of a broken split, refusals.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
log=$LCF_SOURCE_DIR/schemas/examples/experiment.csv

expect 0 "Verdict: ship" "$LLMCF" experiment --log "$log" --a control --b ict --require 'lift_low > 0' --out result.json
cmp -s result.json "$LCF_SOURCE_DIR/schemas/examples/experiment.json" || fail "not the example's result: $(diff result.json "$LCF_SOURCE_DIR/schemas/examples/experiment.json" | head -5)"
"$LLMCF" experiment --log "$log" --a control --b ict --require 'lift_low > 0' --json >out.json 2>/dev/null
cmp -s out.json result.json || fail "--json is not what --out writes"
expect 3 "gate not passed" "$LLMCF" experiment --log "$log" --a control --b ict --require 'lift_low > 1'
expect 3 "NOT AS PLANNED" "$LLMCF" experiment --log "$log" --a control --b ict --share 0.9
expect 1 "the arm 'control' is neither 'a' nor 'b'" "$LLMCF" experiment --log "$log"
expect 1 "nowhere.csv" "$LLMCF" experiment --log nowhere.csv
expect 2 "there is no figure 'left'" "$LLMCF" experiment --log "$log" --a control --b ict --require 'left > 0'
expect 2 "--log is needed" "$LLMCF" experiment
expect 2 "the same name" "$LLMCF" experiment --log "$log" --a ict --b ict
grep -v ',ict,' "$log" >one.csv
expect 1 "too few" "$LLMCF" experiment --log one.csv --a control --b ict
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
