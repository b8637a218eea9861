#!/bin/bash
# llmcf evaluate: report, gate and exit codes, nothing done twice, the same bytes at any thread count, refusals.
set -u
fixture=$LCF_BIN_DIR/eval_fixture
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"

"$fixture" better din ict || exit 1
"$fixture" equal a1 a2 || exit 1

# a better arm passes the gate; the report is complete
expect 0 "B is better than A" "$LLMCF" evaluate --a din --b ict --out report --require 'auc_lift_low > 0'
for f in report.json report.md report.html manifest.json; do [ -s report/$f ] || fail "no report/$f"; done
grep -q 'https\?://' report/report.html && fail "report.html refers to the network"
grep -q '<svg' report/report.html || fail "report.html has no chart"

# a second run does nothing and keeps the verdict; --force makes the same bytes; threads change nothing
cp -r report first
expect 0 "up to date" "$LLMCF" evaluate --a din --b ict --out report --require 'auc_lift_low > 0'
expect 0 "shows it all" "$LLMCF" evaluate --a din --b ict --out report --require 'auc_lift_low > 0' --force --threads 3
diff -r first report >diff.txt || fail "not the same bytes: $(head -3 diff.txt)"

# what surrounds the comparison: where it came from, and the command that makes the same report again
(eval "${LLMCF%/*}/$(jq -r .command report/report.json | sed 's/--out report/--out again/')" 2>/dev/null) || fail "the report's command fails"
diff -r report again >diff.txt || fail "the report's command does not make it again: $(head -3 diff.txt)"
grep -q '`llmcf train` did not make A' report/report.md || fail "no word of the missing training"
grep -q 'No answers of B were given (--latency B=FILE)' report/report.html || fail "no word of the missing latency"

# --json is report.json
"$LLMCF" evaluate --a din --b ict --out report --require 'auc_lift_low > 0' --quiet --json >out.json 2>/dev/null
cmp -s out.json report/report.json || fail "--json is not report.json"

# a gate that is not met: exit code 3, the report is written all the same, also when asked again
expect 2 "there is no figure 'rows_do_not_matter_a'; there are: auc_a" "$LLMCF" evaluate --a ict --b din --out worse --require 'rows_do_not_matter_a<1'
[ -e worse ] && fail "a wrong condition left a report"
expect 3 "gate not passed: auc_lift_low > 0 (it is" "$LLMCF" evaluate --a ict --b din --out worse --require 'auc_lift_low > 0'
grep -q 'B is worse than A' worse/report.md || fail "no verdict in the report that did not pass"
grep -q '"passed": false' worse/report.json || fail "the gate's outcome is not in report.json"
expect 3 "gate not passed" "$LLMCF" evaluate --a ict --b din --out worse --require 'auc_lift_low > 0'
expect 2 "is not of the form" "$LLMCF" evaluate --a din --b ict --out x --require 'auc_lift'

# an arm against itself, and two of the same skill
expect 0 "No difference: B is shown neither better nor worse than A, AUC lift +0.0000" "$LLMCF" evaluate --a din --b din --out same --replicates 200
expect 3 "auc_lift_low > 0" "$LLMCF" evaluate --a a1 --b a2 --out equal --require 'auc_lift_low > 0'

# arms in folders of the same name are told apart by their paths
mkdir -p old new && cp -r din old/ranker && cp -r ict new/ranker
expect 0 "B is better" "$LLMCF" evaluate --a old/ranker --b new/ranker/ --out renamed --replicates 200
grep -q '^A is old/ranker, B is new/ranker/;' renamed/report.md || fail "arms of the same name are not told apart"

# latency from ranking responses
for k in 1 2 3; do echo "{\"results\":[{}],\"timings\":{\"retrieve_ms\":0.$k,\"score_ms\":1,\"total_ms\":1.$k}}"; done >answers.jsonl
expect 0 "B is better" "$LLMCF" evaluate --a din --b ict --out timed --replicates 100 --permutations 0 --latency A=answers.jsonl --latency B=answers.jsonl
grep -q '^| B, an answer | 1.200 | 1.280 | 1.298 | 1.300 |' timed/report.md || fail "no latency: $(grep 'an answer' timed/report.md)"
echo '{"results":[]}' >>answers.jsonl
expect 1 "answers.jsonl:4: no 'timings'" "$LLMCF" evaluate --a din --b ict --out no --latency A=answers.jsonl
expect 2 "--latency: must be A=FILE or B=FILE, not 'C=x'" "$LLMCF" evaluate --a din --b ict --out no --latency C=x

# a signal: nothing is written, try again later
"$LLMCF" evaluate --a din --b ict --out stopped --replicates 1000000 --quiet 2>stderr &
until_stoppable $!
kill -TERM $!
wait $!
[ $? -eq 75 ] || fail "a stopped run does not exit with 75"
grep -q "stopped in the bootstrap" stderr || fail "no word of the stop: $(cat stderr)"
[ -e stopped ] && fail "a stopped run left a report"

# the configuration file gives the same options
printf 'evaluate:\n  a: din\n  b: ict\n  replicates: 200\n  require:\n    - auc_lift_low > 0\n    - logloss_lift <= 0\n' >c.yaml
expect 0 "met     logloss_lift <= 0" "$LLMCF" evaluate --config c.yaml --out configured

# arms that cannot be compared are refused, with the row; nothing is written
"$fixture" rows d1 d2 && expect 1 "prediction 17 is sample 117 in A and sample 118 in B" "$LLMCF" evaluate --a d1 --b d2 --out no
"$fixture" labels d1 d2 && expect 1 "sample 142 has label" "$LLMCF" evaluate --a d1 --b d2 --out no
"$fixture" one-class d1 d2 && expect 1 "have label 0: AUC needs both classes" "$LLMCF" evaluate --a d1 --b d2 --out no
expect 1 "nowhere/test.lcf" "$LLMCF" evaluate --a nowhere --b ict --out no
expect 2 "--b and --out are needed" "$LLMCF" evaluate --a din

# damaged predictions: cut short, one bit changed, another kind of file
mkdir -p cut flip other
size=$(stat -c %s ict/test.lcf)
for n in 0 7 $((size / 2)) $((size - 1)); do
    head -c $n ict/test.lcf >cut/test.lcf
    expect 1 "cut/test.lcf" "$LLMCF" evaluate --a din --b cut --out no
done
cp ict/test.lcf flip/test.lcf
printf '\x55' | dd of=flip/test.lcf bs=1 seek=$((size - 100)) conv=notrunc 2>/dev/null
expect 1 "flip/test.lcf" "$LLMCF" evaluate --a din --b flip --out no
echo '{"format": "not predictions"}' >other/test.lcf
expect 1 "other/test.lcf" "$LLMCF" evaluate --a din --b other --out no
[ -e no ] && fail "a refused comparison left a report"

# with the dataset: slices
if "$LLMCF" simulate --users 300 --out raw --quiet 2>/dev/null && "$LLMCF" prepare --input raw --out dataset --quiet 2>/dev/null; then
    "$fixture" better s1 s2 dataset
    expect 0 "B is better" "$LLMCF" evaluate --a s1 --b s2 --dataset dataset --out sliced --replicates 300
    grep -q '| history 20 |' sliced/report.md || fail "no slice of long histories"
    grep -q 'popularity decile 10' sliced/report.html || fail "no slices in the chart"
    grep -q 'brand: ' sliced/report.md && grep -q 'category: ' sliced/report.md || fail "no slices by brand and category"
    expect 1 "another dataset" "$LLMCF" evaluate --a din --b ict --dataset dataset --out no

    # by columns of the analyst's: the raw item list has one key, an id may come again, unknown ids do not matter
    evaluate_by() { "$LLMCF" evaluate --a s1 --b s2 --dataset dataset --out by --replicates 100 --force "$@"; }
    awk -F'\t' 'NR == 1 { print "user_id,shelf,age" } NR > 1 && !seen[$1]++ { printf "%s,\"%s, left\",%d\n", $1, n % 3, n++ }' raw/interactions.tsv >ages.csv
    printf 'nobody,none,7\nu1,"0, left",0\n' | sed "s/^u1,.*/$(sed -n 2p ages.csv)/" >>ages.csv
    expect 0 "B is better" evaluate_by --slice-by ages.csv:age --slice-by ages.csv:shelf --slice-by raw/items.tsv:brand
    grep -q 'age decile 10 (' by/report.md || fail "no deciles of a column of numbers"
    grep -q 'shelf: 2, left' by/report.md || fail "no slices by a column of text"
    { cat ages.csv; tail -n 1 ages.csv | sed 's/left/right/'; } >twice.csv
    expect 1 "twice.csv:$(wc -l <twice.csv): user_id 'u1' has another value than further up" evaluate_by --slice-by twice.csv:shelf
    expect 2 "ages.csv: no column 'height'; it has: user_id, shelf, age" evaluate_by --slice-by ages.csv:height
    expect 2 "is not of the form FILE:COLUMN" evaluate_by --slice-by ages.csv
    printf 'shelf,age\na,1\n' >keyless.csv
    expect 2 "keyless.csv: none of the key columns" evaluate_by --slice-by keyless.csv:age
    printf 'user_id,age\nu1,1,2\n' >ragged.csv
    expect 1 "ragged.csv:2: 3 fields, the header has 2" evaluate_by --slice-by ragged.csv:age
    printf 'user_id,age\nnobody,1\n' >strange.csv
    expect 1 "knows none of its keys" evaluate_by --slice-by strange.csv:age
    printf 'user_id,age\nu1,"1\n' >open.csv
    expect 1 "open.csv:2" evaluate_by --slice-by open.csv:age
    expect 2 "need --dataset" "$LLMCF" evaluate --a s1 --b s2 --out no --slice-by ages.csv:age
else
    fail "cannot make a dataset"
fi
# plain files of scores, in any order, compressed or not; what is dropped is counted
awk 'BEGIN { srand(3); print "key,user,item,label,score"
    for (i = 0; i < 2000; i++) { y = rand() < .4; printf "k%d,u%d,i%d,%d,%.6f\n", i, i / 10, i % 37, y, .3 * y + .7 * rand() } }' >a.csv
awk -F, 'NR == 1 { print; next } { printf "%s,%s,%s,%d,%.6f\n", $1, $2, $3, $4, .2 * $4 + .8 * $5 }' a.csv >b.csv
expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b b.csv --out plain --replicates 200 --permutations 100
grep -q '"users": 200' plain/report.json || fail "the users of a plain file are not counted"
(head -1 b.csv; tail -n +2 b.csv | tac) >turned.csv
expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b turned.csv --out turned --replicates 200 --permutations 100
diff <(grep -vE '"(name|id)"' plain/report.json) <(grep -vE '"(name|id)"' turned/report.json | sed 's/turned/b/') || fail "the order of a file matters"
if command -v zstd >/dev/null; then
    zstd -q b.csv -o z.csv.zst && expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b z.csv.zst --out zipped --replicates 200
    head -c 5000 z.csv.zst >cut.csv.zst && expect 1 "cut off" "$LLMCF" evaluate --a a.csv --b cut.csv.zst --out no
fi
head -1900 b.csv >short.csv
expect 1 "is not in short.csv; --allow unmatched drops such rows" "$LLMCF" evaluate --a a.csv --b short.csv --out no
expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b short.csv --out unmatched --replicates 200 --allow unmatched
grep -q '"unmatched_a": 101' unmatched/report.json || fail "dropped rows are not counted"
expect 2 "compare two rankers or two files" "$LLMCF" evaluate --a a.csv --b ict --out no
expect 2 "not 'all'" "$LLMCF" evaluate --a a.csv --b b.csv --out no --allow all
expect 0 "No difference" "$LLMCF" evaluate --a d1 --b d1 --out one --replicates 100 --allow one-class
grep -qi '[+-]nan' one/report.html one/report.md && fail "a lift that is not defined is written as a number"
expect 3 "No difference" "$LLMCF" evaluate --a a.csv --b a.csv --out same --replicates 100 --require 'interleaving_low > 0'
# larger than memory: the sort says what the comparison in memory says; the sketch says how far off it may be
expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b b.csv --out sorted --stream sort
expect 0 "B is better" "$LLMCF" evaluate --a a.csv --b b.csv --out sketched --stream sketch
value() { tr -d ' \n' <"$1/report.json" | sed "s/.*\"$2\":{\"a\":{[^}]*\"value\":\([^},]*\).*/\1/"; }
for m in auc uauc gauc_impressions; do
    [ "$(printf %.12f "$(value sorted $m)")" = "$(printf %.12f "$(value plain $m)")" ] || fail "$m of the sort is $(value sorted $m), not $(value plain $m)"
done
grep -q '"auc_bound_a": 0\.00' sketched/report.json || fail "no bound, or a wide one, in the sketch"
grep -qi 'nan' sketched/report.html sketched/report.md && fail "figures that are not known are written as numbers"
grep -q 'jackknife that leaves out one of' sketched/report.md || fail "the report of a stream does not say how intervals were made"
grep -q 'bootstrap replicates\|of 0 users\|of any size\|A 0, B 0' sketched/report.md && fail "the report of a stream claims what was not done"
expect 1 "have another key" "$LLMCF" evaluate --a a.csv --b turned.csv --out no --stream sort
expect 2 "is for plain files" "$LLMCF" evaluate --a din --b ict --out no --stream sort
expect 2 "allows nan alone" "$LLMCF" evaluate --a a.csv --b b.csv --out no --stream sort --allow duplicates
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
