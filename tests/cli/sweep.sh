#!/bin/bash
# llmcf sweep: a grid with a point that fails, widening it, stopping and killing it, random search, and wrong usage.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
points() { ls "$1"/points/*.json 2>/dev/null | wc -l; }

"$LLMCF" simulate --users 60 --items 50 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >/dev/null 2>&1 || fail "prepare"

# a grid: the best first, what fails last with its error
cat >grid.yaml <<'YAML'
train:
  dataset: dataset
  seeds: 1
  epochs: 1
  lr: [0.001, 0.01, 1e9]
YAML
expect 0 '3 points' "$LLMCF" sweep --space grid.yaml --out sweep --jobs 2 --json
[ "$(jq length stdout)" = 3 ] || fail "points of --json"
[ "$(head -1 sweep/results.csv)" = "point,status,valid_auc,valid_auc_sd,valid_logloss,best_epoch,lr,error" ] ||
    fail "columns: $(head -1 sweep/results.csv)"
[ "$(cut -d, -f2 sweep/results.csv | tr '\n' ' ')" = "status done done failed " ] || fail "order: $(cat sweep/results.csv)"
awk -F, 'NR == 2 { a = $3 } NR == 3 { exit !(a >= $3) }' sweep/results.csv || fail "not sorted: $(cat sweep/results.csv)"
tail -1 sweep/results.csv | grep -q ',1000000000,"--lr' || fail "no error of the point that failed: $(tail -1 sweep/results.csv)"
[ "$(points sweep)" = 2 ] || fail "finished points: $(ls sweep/points)"
ls -d sweep/points/*/ >/dev/null 2>&1 && fail "rankers were kept without --keep"
best=$(sed -n 2p sweep/results.csv | cut -d, -f1)
valid=$(jq .report.valid_auc.mean "sweep/points/$best.json")
lr=$(jq -r .params.lr "sweep/points/$best.json")
expect 0 'best seed' "$LLMCF" train --dataset dataset --seeds 1 --epochs 1 --lr "$lr" --out best
[ "$(jq .valid_auc.mean best/report.json)" = "$valid" ] || fail "the point is not what train makes of its parameters"

# widened: finished points are kept, only what is new is trained
touch -d '2 hours ago' sweep/points/*.json
sed -i 's/\[0.001, 0.01, 1e9\]/[0.001, 0.01, 0.02]/' grid.yaml
expect 0 '3 points' "$LLMCF" sweep --space grid.yaml --out sweep --keep
[ "$(find sweep/points -maxdepth 1 -name '*.json' -mmin -60 | wc -l)" = 1 ] || fail "more than the new point was trained"
[ -e sweep/points/*/best.lcf ] || fail "--keep kept no ranker"
grep -q failed sweep/results.csv && fail "the point that failed is still there"

# another dataset of the same name: other points
"$LLMCF" prepare --input raw --out dataset --valid-share 0.2 >/dev/null 2>&1 || fail "prepare"
expect 0 '3 points' "$LLMCF" sweep --space grid.yaml --out sweep
[ "$(points sweep)" = 6 ] || fail "a changed dataset: $(points sweep) points"

# stopped: 75, and killed: both go on
cat >random.yaml <<'YAML'
train:
  dataset: dataset
  seeds: 1,2
  epochs: 3
  patience: 3
  lr: {min: 0.001, max: 0.01, scale: log}
YAML
"$LLMCF" sweep --space random.yaml --out random --points 4 --seed 3 2>stderr &
pid=$!
has_point() { [ "$(points random)" -ge 1 ]; }
wait_until has_point
kill -TERM $pid 2>/dev/null
wait $pid
got=$?
[ $got -eq 75 ] || [ "$(points random)" = 4 ] || fail "exit code $got after SIGTERM, not 75: $(tail -1 stderr)"
"$LLMCF" sweep --space random.yaml --out random --points 4 --seed 3 2>/dev/null &
pid=$!
is_running() { ls random/points/*.report >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; }
wait_until is_running
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
expect 0 '4 points' "$LLMCF" sweep --space random.yaml --out random --points 4 --seed 3 --jobs 2
[ "$(grep -c ',done,' random/results.csv)" = 4 ] || fail "results after going on: $(cat random/results.csv)"

# wrong usage
expect 2 '--out is needed' "$LLMCF" sweep --space grid.yaml
expect 1 'lr is a range' "$LLMCF" sweep --space random.yaml --out x
expect 1 'nowhere.yaml' "$LLMCF" sweep --space nowhere.yaml --out x
echo 'train: {dataset: nowhere}' >bad.yaml
expect 1 'every point failed, the first with' "$LLMCF" sweep --space bad.yaml --out x
exit $((fails > 0))
