#!/bin/sh
# collm-ml1m.sh IN OUT: the CoLLM split of MovieLens-1M (train, valid and test .tsv with uid, iid, label, timestamp; items.tsv
# with iid, title) as a raw log that `llmcf prepare` reads: the label as a rating of 0 or 1, the split as a column. The published
# histories are a user's earlier positives: --history liked --like 1 --history-min 0.
set -eu
in=$1 out=$2
mkdir -p "$out"
sed '1s/.*/item_id\ttitle/' "$in/items.tsv" >"$out/items.tsv"
printf 'user_id\titem_id\ttimestamp\trating\tsplit\n' >"$out/interactions.tsv"
for split in train valid test; do
    awk -F '\t' -v OFS='\t' -v name="$split" 'NR > 1 { print $1, $2, $4, $3, name }' "$in/$split.tsv" >>"$out/interactions.tsv"
done
