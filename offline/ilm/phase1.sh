#!/bin/bash
# phase1.sh LLMCF DATASET RANKER OUT: what each combination of losses teaches a Q-Former. RANKER: weights whose vectors it reads, or -:
# spectral ones of the training rows. Into OUT: phase1.csv, a line for random weights and two for every combination, of items whose texts it
# did not see (test) and of as many that it was trained on (seen): losses in nats, recall of texts by items and of items by texts, neighbours
# kept (schemas/qformer_report.md has the terms). What is finished is not made again.
#   LOSSES="itc itg itc,itg ..."  a leading + alternates the losses instead of summing them
#   OPTIONS="--layers 2 ..."  of llmcf qformer  SEEDS=1  THREADS=0
# tests/bench/phase1-collm-ml1m.csv: the split with genres (offline/config/collm-ml1m.sh with ml-latest-small's movies.csv), RANKER -,
#   OPTIONS="--layers 2 --hidden 64 --epochs 20 --patience 5"; phase1-vectors-collm-ml1m.csv: the same of titles alone, and of MF's vectors
set -eu
llmcf=$1 dataset=$2 ranker=$3 out=$4
vectors="--ranker $ranker"
[ "$ranker" != - ] || vectors=
mkdir -p "$out"
log=$out/log
. "$(dirname "$0")/../recgen/logged.sh"
echo losses,mix,seed,best_epoch,items,itc,itm,itg,iic,uic,item_to_text_1,item_to_text_10,text_to_item_1,text_to_item_10,neighbours >"$out/phase1.csv"

# line LOSSES MIX SEED REPORT MEASURES
line() {
    jq -r --arg losses "$1" --arg mix "$2" --arg seed "$3" --arg part "$5" '.[$part] as $m |
        [$losses, $mix, $seed, (if $part == "start" then "" else .best_epoch end), (if $part == "seen" then "seen" else "test" end)] +
        ([$m.losses.itc, $m.losses.itm, $m.losses.itg, $m.losses.iic, $m.losses.uic, $m.item_to_text.recall_1, $m.item_to_text.recall_10,
        $m.text_to_item.recall_1, $m.text_to_item.recall_10, $m.neighbours] | map(if . == null then "" else . * 1e4 | round / 1e4 end)) |
        @csv' "$4" | tr -d '"' >>"$out/phase1.csv"
}
for seed in ${SEEDS:-1}; do
    first=1
    for losses in ${LOSSES:-itc itg itc,itm,itg iic uic itc,itm,itg,iic itc,itm,itg,uic itc,itm,itg,iic,uic +itc,itm,itg,iic}; do
        names=${losses#+} mix=sum
        [ "$names" = "$losses" ] || mix=alternate
        run=$out/$mix-${names//,/-}-$seed
        # shellcheck disable=SC2086
        logged "$llmcf" qformer --dataset "$dataset" $vectors --losses "$names" --mix $mix --seed "$seed" --threads "${THREADS:-0}" \
            ${OPTIONS:-} --out "$run" --quiet
        [ -z "$first" ] || line "random weights" "" "$seed" "$run/report.json" start
        for part in test seen; do line "${names//,/+}" $mix "$seed" "$run/report.json" $part; done
        first=
    done
done
column -s, -t "$out/phase1.csv" 2>/dev/null || cat "$out/phase1.csv"
