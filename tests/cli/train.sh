#!/bin/bash
# llmcf train: stopping and going on, idempotence, --json, and what it says about wrong usage and bad inputs.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
id() { jq -r .id "$1/manifest.json"; }

"$LLMCF" simulate --users 150 --items 120 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >/dev/null 2>&1 || fail "prepare"
train=("$LLMCF" train --dataset dataset --seeds 1,2,3 --threads 1 --epochs 3 --patience 3)

# a whole run, and nothing to do the second time
expect 0 'best seed' "${train[@]}" --out whole --json
[ "$(jq '.seeds | length' stdout)" = 3 ] || fail "seeds of the report"
[ "$(jq '.seeds[0].epochs | length' stdout)" = 3 ] || fail "epochs of the report"
[ "$(ls whole | tr '\n' ' ')" = "best.lcf manifest.json report.json seed-1.lcf seed-2.lcf seed-3.lcf test.lcf valid.lcf " ] ||
    fail "files: $(ls whole)"
[ -e whole.partial ] && fail "whole.partial is still there"
expect 0 'up to date' "${train[@]}" --out whole

# SIGTERM once the first seed is there: 75, the seed is kept, and going on gives the same artefact
"${train[@]}" --out stopped 2>stderr &
pid=$!
wait_until [ -e stopped.partial/seed-1.result.lcf ]
kill -TERM $pid
wait $pid
got=$?
[ $got -eq 75 ] || fail "exit code $got after SIGTERM, not 75: $(tail -1 stderr)"
grep -qF 'stopped in epoch' stderr || fail "no word of where it stopped: $(cat stderr)"
[ -e stopped ] && fail "a stopped run made its artefact"
[ -e stopped.partial/seed-1.result.lcf ] || fail "the finished seed is gone"
expect 0 'seed kept from an earlier run' "${train[@]}" --out stopped
[ "$(id stopped)" = "$(id whole)" ] || fail "a resumed run differs from a whole one"

# kill -9 in the middle: the next run goes on as well, and more seeds cost only what is new
"${train[@]}" --out killed 2>/dev/null &
pid=$!
wait_until [ -e killed.partial/seed-1.result.lcf ]
kill -9 $pid
wait $pid 2>/dev/null
expect 0 'seed kept' "${train[@]}" --out killed
[ "$(id killed)" = "$(id whole)" ] || fail "a run after kill -9 differs from a whole one"

# histories with labels are another model
expect 0 'best seed' "$LLMCF" train --dataset dataset --seeds 1 --epochs 1 --history-labels --out labels
grep -q '"history_labels": true' labels/report.json || fail "the report does not tell of --history-labels"
expect 0 'best seed' "$LLMCF" train --dataset dataset --seeds 1 --epochs 1 --out no-labels
cmp -s labels/best.lcf no-labels/best.lcf && fail "--history-labels changes nothing"

# other options do not go on with the seeds of these
"${train[@]}" --out other 2>/dev/null &
pid=$!
wait_until [ -e other.partial/seed-1.result.lcf ]
kill -9 $pid
wait $pid 2>/dev/null
expect 0 'best seed' "${train[@]}" --lr 0.002 --out other
grep -qF 'seed kept' stderr && fail "a seed of another learning rate was kept"

# kill -9 between two epochs of a seed: the next run takes up the epochs that were finished
"${train[@]}" --out epochs 2>/dev/null &
pid=$!
wait_until [ -e epochs.partial/seed-1.epoch.lcf ]
kill -9 $pid
wait $pid 2>/dev/null
expect 0 'best seed' "${train[@]}" --out epochs
[ "$(id epochs)" = "$(id whole)" ] || fail "a run after kill -9 in a seed differs from a whole one"

# a warm start from yesterday's ranker, into tables of more users and items
"$LLMCF" simulate --users 170 --items 130 --out raw2 >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw2 --out dataset2 >/dev/null 2>&1 || fail "prepare"
warm=("$LLMCF" train --dataset dataset2 --seeds 1 --epochs 1 --out warm)
expect 0 'table=user.table' "${warm[@]}" --init whole --init-dataset dataset --clip 5 --lr-plateau 0.5 --decay decoupled
expect 0 'best seed' "${warm[@]}" --table-updates sparse
expect 1 'the dataset that it was trained on' "${warm[@]}" --init whole --init-dataset dataset2
expect 2 '--init and --init-dataset go together' "${warm[@]}" --init whole

# a backbone's own learning rate and decay, and those that were typed
expect 0 'best seed' "$LLMCF" train --backbone lr --dataset dataset --seeds 1 --epochs 1 --out lr --json
[ "$(jq -c '[.params.lr, .params.weight_decay]' stdout)" = '[0.01,1e-05]' ] || fail "rates of lr: $(jq -c .params stdout)"
expect 0 'best seed' "$LLMCF" train --backbone lr --lr 0.002 --dataset dataset --seeds 1 --epochs 1 --out lr --json
[ "$(jq -c '[.params.lr, .params.weight_decay]' stdout)" = '[0.002,1e-05]' ] || fail "rates of lr: $(jq -c .params stdout)"

# wrong usage
expect 2 "--decay must be one of 'l2', 'decoupled', not 'l1'" "$LLMCF" train --dataset dataset --out x --decay l1
expect 2 '--out is needed' "$LLMCF" train --dataset dataset
expect 2 "--backbone: there is no 'dim'" "$LLMCF" train --dataset dataset --out x --backbone dim
expect 2 "--side: there is no 'itc'" "$LLMCF" train --dataset dataset --out x --side itc
expect 2 '--side ict needs --vectors' "$LLMCF" train --dataset dataset --out x --side ict
expect 2 '--side ict needs --examples and --retrieved' "$LLMCF" train --dataset dataset --out x --side ict --vectors x
expect 2 '--seeds takes whole numbers' "$LLMCF" train --dataset dataset --out x --seeds 1,,2
expect 2 'seed 5 is given twice' "$LLMCF" train --dataset dataset --out x --seeds 5,5
expect 1 'lr has no head to normalise' "$LLMCF" train --dataset dataset --out x --backbone lr --norm batch
expect 1 'give batches of 2 or more' "$LLMCF" train --dataset dataset --out x --norm batch --batch 1
expect 1 'an average of the weights looks at every row' "$LLMCF" train --dataset dataset --out x --ema 0.9 --table-updates sparse
expect 1 'lr reads no history' "$LLMCF" train --dataset dataset --out x --backbone lr --history-labels
rm -rf x.partial
expect 1 'nowhere' "$LLMCF" train --dataset nowhere --out x
truncate -s 1000 dataset/samples.lcf
expect 1 'samples.lcf' "$LLMCF" train --dataset dataset --out x
[ -e x ] && fail "a failing run made an artefact"
exit $((fails > 0))
