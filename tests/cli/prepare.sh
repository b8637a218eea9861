#!/bin/bash
# llmcf prepare: what it counts on real data, what it says about bad rows, and its exit codes.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
# count NAME VALUE: a figure of the --json summary
count() { [ "$(jq "$1" stdout)" = "$2" ] || fail "$1 is $(jq "$1" stdout), not $2"; }

# bad rows are named by file and line, and nothing is written
mkdir raw
printf 'item_id\ttitle\tbrand\nA\tfirst\tX\nB\tsecond\tX\nC\tthird\n' >raw/items.tsv
printf 'user_id\titem_id\ttimestamp\trating\n1\tA\t1\t5\n1\tB\tx\t5\n1\tB\t2\t1\n1\tA\t3\t4\n' >raw/interactions.tsv
expect 1 'raw/items.tsv:4: ' "$LLMCF" prepare --input raw --out dataset
grep -q 'raw/interactions.tsv:3: the timestamp' stderr || fail "no interactions.tsv:3"
grep -q 'max-bad-rows' stderr || fail "no hint at --max-bad-rows"
[ -e dataset ] && fail "a dataset was written"
expect 1 'raw/items.tsv:4: ' "$LLMCF" prepare --input raw --out dataset --max-bad-rows 1
expect 0 'could not be read' "$LLMCF" prepare --input raw --out dataset --max-bad-rows 2 --json
count .bad_rows 2
count .interactions 3
count .items 2
[ "$(ls dataset | tr '\n' ' ')" = "items.lcf manifest.json samples.lcf users.lcf " ] || fail "files: $(ls dataset)"
expect 0 'up to date' "$LLMCF" prepare --input raw --out dataset --max-bad-rows 2
# a failing run leaves the old dataset
cp -r dataset before
expect 1 'interactions.tsv:3' "$LLMCF" prepare --input raw --out dataset
diff -r dataset before || fail "the old dataset was touched"

# wrong usage
expect 2 '--out is needed' "$LLMCF" prepare --input raw
expect 2 "'time', 'leave-last', 'column'" "$LLMCF" prepare --input raw --out x --split never
expect 2 'valid-share' "$LLMCF" prepare --input raw --out x --valid-share 0.5 --test-share 0.5
expect 1 'neither' "$LLMCF" prepare --input . --out x

# splits from a column, samples without a history, labels as ratings
printf 'item_id\ttitle\nA\tfirst\nB\tsecond\n' >raw/items.tsv
printf 'user_id\titem_id\ttimestamp\trating\tsplit\n1\tA\t1\t1\ttrain\n1\tB\t2\t0\tvalid\n2\tA\t3\t1\ttest\n' >raw/interactions.tsv
expect 0 '1 samples' "$LLMCF" prepare --input raw --out given --history liked --like 1 --history-min 0 --json
count .split '"column"'
count .train.samples 1
count .valid.samples 1
count .test.positives 1
printf 'user_id\titem_id\ttimestamp\trating\tsplit\n1\tA\t1\t1\tdev\n' >raw/interactions.tsv
expect 1 'interactions.tsv:2: the split' "$LLMCF" prepare --input raw --out given
printf 'user_id\titem_id\ttimestamp\trating\n1\tA\t1\t1\n1\tB\t2\t1\n' >raw/interactions.tsv
expect 1 "no column 'split'" "$LLMCF" prepare --input raw --out x --split column

# the figures of published data sets, where they are at hand
if [ -d "$LCF_DATA/ml-latest-small" ]; then
    expect 0 '610 users' "$LLMCF" prepare --input "$LCF_DATA/ml-latest-small" --out ml --json
    count .users 610
    count .items 9742
    count .interactions 100836
    count .bad_rows 0
    count .unknown_items 0
    count .categories 19
    count '.train.samples + .valid.samples + .test.samples' 100226
    count .split '"time"'
    # the borders divide the seconds: no time is on both sides
    jq -e '.train.time_last < .valid.time_first and .valid.time_last < .test.time_first' stdout >/dev/null ||
        fail "a border divides a second"
fi
if [ -d "$LCF_DATA/amazon-beauty" ]; then
    expect 0 '22363 users' "$LLMCF" prepare --input "$LCF_DATA/amazon-beauty" --out beauty --json
    count .items 12101
    count .interactions 198502
    count .split '"leave-last"'
    count .test.positives 22363
    count .valid.positives 22363
    count .train.positives 131413
    count .train.samples 262826
fi
if [ -d "$LCF_DATA/collm-ml1m" ]; then
    sh "$LCF_SOURCE_DIR/offline/config/collm-ml1m.sh" "$LCF_DATA/collm-ml1m" collm
    expect 0 '838 users' "$LLMCF" prepare --input collm --out collm-dataset --history liked --like 1 --history-min 0 --json
    count .train.samples 33891
    count .valid.samples 10401
    count .test.samples 7331
fi
exit $((fails > 0))
