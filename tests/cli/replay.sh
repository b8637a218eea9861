#!/bin/bash
# The model that was trained is the model that is served: every test row of a small shop, asked of the published snapshot as
# a request about that moment, gets the score that train wrote down for it.
set -u
fail() { echo "FAILED: $*" >&2; exit 1; }
run() { "$@" >out 2>err || fail "$*: $(tail -3 err)"; }

run "$LLMCF" simulate --users 120 --items 150 --requests 12 --out raw --quiet
run "$LLMCF" prepare --input raw --out dataset
run "$LCF_BIN_DIR/cot_fixture" dataset cot 3 forward
run "$LLMCF" encode --dataset dataset --cot cot --dim 64 --bits 14 --out vectors
run "$LLMCF" index --dataset dataset --cot cot --vectors vectors --out examples
run "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --out retrieved
run "$LLMCF" train --dataset dataset --seeds 1 --threads 1 --epochs 2 --out ranker-backbone
run "$LLMCF" train --side ict --dataset dataset --vectors vectors --examples examples --retrieved retrieved --seeds 1 \
    --threads 1 --epochs 2 --out ranker-ict
run "$LLMCF" publish --dataset dataset --vectors vectors --examples examples --cot cot --arm backbone=ranker-backbone/best.lcf \
    --arm ict=ranker-ict/best.lcf --root snapshots
for arm in backbone ict; do
    "$LCF_BIN_DIR/replay_rows" dataset ranker-$arm/test.lcf 1 $arm >requests 2>expected || fail "replay_rows: $(tail -1 expected)"
    "$LLMCF" rank --snapshot snapshots --lines --request requests >answers 2>err || fail "rank: $(tail -1 err)"
    jq -r '.results[0] | "\(.score) \(.examples_n)"' answers >scores
    [ "$(wc -l <scores)" -gt 50 ] || fail "only $(wc -l <scores) rows"
    paste -d ' ' expected scores | awk -v arm=$arm '
        { d = $1 - $2; if (d < 0) d = -d; if (d > worst) worst = d; if ($1 != first) various = 1; first = $1; used += $3 }
        END { printf "%s: %d rows, largest difference %g, %d examples used\n", arm, NR, worst, used
              exit !(worst <= 1e-6 && various && (arm == "backbone" ? used == 0 : used > NR)) }' || fail "$arm: offline and online differ"
done
echo ok
