#!/bin/bash
# llmcf runs: columns of all runs, seeds kept or numbered, nothing done twice, refusals.
set -u
fixture=$LCF_BIN_DIR/eval_fixture
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$fixture" better shop/base shop/good || exit 1
"$fixture" rows d1 d2 || exit 1

runs() { "$LLMCF" runs "$@"; }
expect 0 'one: 3 runs' runs shop/good --out one
cmp -s one/test.lcf shop/good/test.lcf || fail "one run is not its own file"
expect 0 'up to date' runs shop/good --out one
expect 0 'both: 6 runs' runs shop/base shop/good --out both --json
[ "$(jq -r .runs stdout)" = 6 ] || fail "--json does not count the runs"
"$LLMCF" inspect both/test.lcf 2>&1 | grep -qF 'dims: [6, 2400]' || fail "not a column for each run"

# the mean over the runs of both is the mean of the means
auc() { "$LLMCF" compare --baseline shop/base "$1" --replicates 100 --out table --force >/dev/null 2>&1 &&
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "auc") c = i } NR == 3 { print $c }' table/compare.csv; }
awk -v a="$(auc shop/base)" -v b="$(auc shop/good)" -v c="$(auc both)" 'BEGIN { d = (a + b) / 2 - c; exit !(d < 1e-6 && d > -1e-6 && a != b) }' ||
    fail "the runs of both have another mean"

expect 1 "d1 and d2 are about different rows" runs d1 d2 --out x
expect 1 "nowhere: no valid.lcf or test.lcf" runs nowhere --out x
mkdir empty
expect 1 "shop/base has predictions of the valid split and empty has none" runs shop/base empty --out x
expect 2 "folders of runs and --out are needed" runs --out x
[ -e x ] && fail "a refused step left a folder"
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
