#!/bin/bash
# llmcf train-next and compare-next: stopping, being killed and going on, idempotence, reports that keep their schemas, wrong usage.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
id() { jq -r .id "$1/manifest.json"; }

"$LLMCF" simulate --users 150 --items 120 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --split leave-last --out dataset >/dev/null 2>&1 || fail "prepare"
train=("$LLMCF" train-next --dataset dataset --model gru4rec --seeds 1,2,3 --threads 1 --epochs 3 --patience 3 --dim 16
    --hidden 16 --negatives 32)

# a whole run, and nothing to do the second time
expect 0 'best seed' "${train[@]}" --out whole --json
cp stdout next.json
[ "$(jq '.seeds | length' stdout)" = 3 ] || fail "seeds of the report"
[ "$(ls whole | tr '\n' ' ')" = "best.lcf manifest.json ranks-test.lcf ranks-valid.lcf report.json seed-1.lcf seed-2.lcf seed-3.lcf " ] ||
    fail "files: $(ls whole)"
[ -e whole.partial ] && fail "whole.partial is still there"
expect 0 'up to date' "${train[@]}" --out whole

# SIGTERM once the first seed is there: 75 unless the run was faster, the seed is kept, and going on gives the same artefact
"${train[@]}" --epochs 30 --patience 30 --out long >/dev/null 2>&1
"${train[@]}" --epochs 30 --patience 30 --out stopped 2>stderr &
pid=$!
while [ ! -e stopped.partial/seed-1.result.lcf ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -TERM $pid 2>/dev/null
wait $pid
got=$?
[ $got -eq 75 ] || [ $got -eq 0 ] || fail "exit code $got after SIGTERM: $(tail -1 stderr)"
if [ $got -eq 75 ]; then
    [ -e stopped ] && fail "a stopped run made its artefact"
    expect 0 'seed kept from an earlier run' "${train[@]}" --epochs 30 --patience 30 --out stopped
fi
[ "$(id stopped)" = "$(id long)" ] || fail "a resumed run differs from a whole one"

# kill -9 between two epochs of a seed: the next run takes up the epochs that were finished
"${train[@]}" --epochs 30 --patience 30 --out epochs 2>/dev/null &
pid=$!
wait_until [ -e epochs.partial/seed-1.epoch.lcf ]
kill -9 $pid
wait $pid 2>/dev/null
expect 0 'best seed' "${train[@]}" --epochs 30 --patience 30 --out epochs
[ "$(id epochs)" = "$(id long)" ] || fail "a run after kill -9 in a seed differs from a whole one"

# another model against this one, paired
expect 0 'best seed' "$LLMCF" train-next --dataset dataset --model youtubednn --seeds 1,2,3 --epochs 3 --dim 16 --hidden 16 \
    --loss full --out other
expect 0 'ndcg@10' "$LLMCF" compare-next --a whole --b other --replicates 300 --out comparison.json --json
cmp -s <(jq -S . stdout) <(jq -S . comparison.json) || fail "--out and --json differ"
jq -e '.measures["hr@10"] | .low <= .difference and .difference <= .high and ((.b - .a - .difference) | fabs) < 1e-12' \
    comparison.json >/dev/null || fail "interval of hr@10"
expect 0 'hr@5' "$LLMCF" compare-next --a whole --b other --replicates 300 --split valid --seeds-fixed --threads 2
expect 0 'best seed' "$LLMCF" train-next --dataset dataset --model youtubednn --seeds 1 --epochs 1 --dim 16 --rank-seen --out seen
expect 1 'train both with the same --rank-seen' "$LLMCF" compare-next --a whole --b seen

# wrong usage
expect 2 '--out is needed' "$LLMCF" train-next --dataset dataset
expect 2 "there is no 'bert'" "$LLMCF" train-next --dataset dataset --out x --model bert
expect 2 "--loss must be one of" "$LLMCF" train-next --dataset dataset --out x --loss hinge
expect 2 "--sampler must be one of" "$LLMCF" train-next --dataset dataset --out x --sampler all
expect 1 'no multiple of heads_n' "$LLMCF" train-next --dataset dataset --out x --dim 10 --heads 3
expect 2 '--b is needed' "$LLMCF" compare-next --a whole
expect 1 'nowhere' "$LLMCF" compare-next --a whole --b nowhere
[ -e x ] && fail "a failing run made an artefact"

# what is written is as the schemas say
python=python3
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null && python=/usr/bin/python3
if "$python" -c 'import jsonschema' 2>/dev/null; then
    for pair in next_report:whole/report.json next_report:next.json ranks_comparison:comparison.json; do
        "$python" - "$LCF_SOURCE_DIR/schemas/${pair%%:*}.schema.json" "${pair#*:}" <<'PYTHON' || fail "${pair#*:} is not valid"
import json, sys
from jsonschema import Draft202012Validator
Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))
PYTHON
    done
fi
exit $((fails > 0))
