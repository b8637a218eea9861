#!/bin/bash
# llmcf compare: sections, the same figures as evaluate and in every form, nothing done twice, training facts, refusals.
set -u
fixture=$LCF_BIN_DIR/eval_fixture
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$fixture" better shop/base shop/good || exit 1
"$fixture" equal other/base other/same || exit 1
cp -r shop/base shop/copy

compare() { "$LLMCF" compare --out table --replicates 100 "$@"; }
expect 0 "good" compare --baseline shop/base shop/good shop/copy --section 'Data | <b>' --baseline other/base other/same
for f in compare.json compare.md compare.csv compare.html manifest.json; do [ -s table/$f ] || fail "no table/$f"; done
grep -q '^## shop$' table/compare.md || fail "a section is not named by its folder"
grep -q 'Data | &lt;b&gt;' table/compare.html || fail "names are data, not markup"
grep -q 'https\?://' table/compare.html && fail "compare.html refers to the network"
[ "$(wc -l <table/compare.csv)" = 6 ] || fail "not one row a system: $(wc -l <table/compare.csv)"
[ "$(awk -F, '{ print NF }' table/compare.csv | sort -u | wc -l)" = 1 ] || fail "rows of compare.csv differ in length"
grep -q '^| copy | .* | +0.0000 \[+0.0000, +0.0000\] |' table/compare.md || fail "a copy of the baseline has a lift"
grep '^| good |' table/compare.md | grep -qF '] * |' || fail "a better ranker has no star"
grep '^| same |' table/compare.md | grep -qF '] * |' && fail "an equal ranker has a star"

# the lift is that of evaluate, to the last digit
"$LLMCF" evaluate --a shop/base --b shop/good --out report --replicates 100 --permutations 0 --quiet 2>/dev/null || fail "no report"
lift=$(sed -n 's/.*| good | [^|]*| \([^]]*\)\].*/\1/p' table/compare.md | head -1 | tr -d '[,')
want=$(sed -n 's/^| AUC |[^|]*|[^|]*| \([^|]*\) | \([^|]*\) to \([^|]*\) |.*/\1 \2 \3/p' report/report.md)
[ "$lift" = "$want" ] || fail "not the figures of evaluate: '$lift', not '$want'"

# a second run does nothing; --force makes the same bytes at any number of threads; --json is compare.json
cp -r table first
expect 0 "up to date" compare --baseline shop/base shop/good shop/copy --section 'Data | <b>' --baseline other/base other/same
expect 0 "shows it all" compare --force --threads 3 --baseline shop/base shop/good shop/copy --section 'Data | <b>' --baseline other/base other/same
diff -r first table >diff.txt || fail "not the same bytes: $(head -3 diff.txt)"
compare --json --quiet --baseline shop/base shop/good shop/copy --section 'Data | <b>' --baseline other/base other/same >out.json 2>/dev/null
cmp -s out.json table/compare.json || fail "--json is not compare.json"

# what `train` says: its example stands for a ranker's report
train_report=$LCF_SOURCE_DIR/schemas/examples/train_report.json
trained() { # DIR: a folder as train leaves it, with times
    cp -r shop/good "$1" && cp "$train_report" "$1/report.json"
    printf '{"files":{},"format":1,"id":"%064d","identity":{"inputs":{},"parameters":{},"verb":"train","version":"0"},"stats":{"report":{"seeds":[{"seconds":10.0},{"seconds":30.0}]}}}' 7 >"$1/manifest.json"
}
trained timed
expect 0 "timed" compare --baseline shop/base timed
grep -q '^| timed | din | 3 |.*| 20 | - |' table/compare.md || fail "no training time: $(grep timed table/compare.md)"
trained broken && sed -i 's/"best_epoch": 2/"best_epoch": 9/' broken/report.json
expect 1 "broken/report.json: seeds: best_epoch is not one of the 3" compare --baseline shop/base broken
trained cut && head -c 300 "$train_report" >cut/report.json
expect 1 "cut/report.json" compare --baseline shop/base cut

# refusals leave nothing behind
rm -rf table
expect 2 "'shop/good': a --baseline comes first" compare shop/good
expect 2 "--baseline is needed" "$LLMCF" compare --out table
expect 2 "--baseline shop/base: no ranker after it" compare --baseline shop/base --baseline other/base other/same
expect 2 "'shop/good': with several sections" compare --baseline shop/base --force shop/good --baseline other/base other/same
expect 2 "no --baseline after it" compare --baseline shop/base shop/good --section lost
expect 1 "nowhere/test.lcf: no such file" compare --baseline shop/base nowhere
"$fixture" rows d1 d2 && expect 1 "A is d1/test.lcf, B is d2/test.lcf: the arms are about different rows" compare --baseline d1 d2
[ -e table ] && fail "a refused comparison left a table"
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
