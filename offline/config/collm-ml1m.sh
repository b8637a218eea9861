#!/bin/sh
# collm-ml1m.sh IN OUT [MOVIES.csv]: the CoLLM split of MovieLens-1M (train, valid and test .tsv with uid, iid, label, timestamp; items.tsv
# with iid, title) as a raw log that `llmcf prepare` reads: the label as a rating of 0 or 1, the split as a column. The published
# histories are a user's earlier positives: --history liked --like 1 --history-min 0. Published items are titles alone; with the movies.csv
# (movieId, title, genres) of a MovieLens set, films of the same title get its genres as categories.
set -eu
in=$1 out=$2 movies=${3:-}
mkdir -p "$out"
if [ -z "$movies" ]; then
    sed '1s/.*/item_id\ttitle/' "$in/items.tsv" >"$out/items.tsv"
else
    awk -F '\t' -v OFS='\t' 'BEGIN { print "item_id", "title", "categories" }
        FILENAME == ARGV[1] { sub(/\r$/, ""); genres = $0; sub(/.*,/, "", genres)
            title = substr($0, 1, length($0) - length(genres) - 1); sub(/^[0-9]+,/, "", title)
            if (title ~ /^".*"$/) { title = substr(title, 2, length(title) - 2); gsub(/""/, "\"", title) }
            if (genres !~ /^\(/) of[tolower(title)] = genres
            next }
        FNR > 1 { print $1, $2, of[tolower($2)] }' "$movies" "$in/items.tsv" >"$out/items.tsv"
fi
printf 'user_id\titem_id\ttimestamp\trating\tsplit\n' >"$out/interactions.tsv"
for split in train valid test; do
    awk -F '\t' -v OFS='\t' -v name="$split" 'NR > 1 { print $1, $2, $4, $3, name }' "$in/$split.tsv" >>"$out/interactions.tsv"
done
