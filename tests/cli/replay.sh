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
inputs=(--dataset dataset --vectors vectors --examples examples)
all="din-none fm-none bst-none din-ict xdeepfm-ict dcnv2-ict"
arms=()
for arm in $all; do
    run "$LLMCF" train --backbone ${arm%-*} --side ${arm#*-} "${inputs[@]}" --retrieved retrieved --seeds 1 --threads 1 --epochs 1 \
        --out ranker-$arm
    arms+=(--arm $arm=ranker-$arm/best.lcf)
done
run "$LLMCF" publish "${inputs[@]}" --cot cot "${arms[@]}" --root snapshots
for arm in $all; do
    "$LCF_BIN_DIR/replay_rows" dataset ranker-$arm/test.lcf 1 $arm >requests 2>expected || fail "replay_rows: $(tail -1 expected)"
    "$LLMCF" rank --snapshot snapshots --lines --request requests >answers 2>err || fail "rank: $(tail -1 err)"
    jq -r '.results[0] | "\(.score) \(.examples_n)"' answers >scores
    [ "$(wc -l <scores)" -gt 50 ] || fail "only $(wc -l <scores) rows"
    paste -d ' ' expected scores | awk -v arm=$arm '
        { d = $1 - $2; if (d < 0) d = -d; if (d > worst) worst = d; if ($1 != first) various = 1; first = $1; used += $3 }
        END { printf "%s: %d rows, largest difference %g, %d examples used\n", arm, NR, worst, used
              exit !(worst <= 1e-6 && various && (arm ~ /none$/ ? used == 0 : used > NR)) }' || fail "$arm: offline and online differ"
done
echo ok
