#!/bin/bash
# Every ranking backbone on one data set, alone and with side modules, as one table with paired intervals.
#
#   rankers.sh LLMCF IN OUT CONFIG SEEDS [SIDE...]
#
# IN holds what the pipeline made: dataset, and for side modules vectors, examples and retrieved. OUT gets a ranker folder per row,
# compare/ (Markdown, CSV, HTML, JSON; schemas/compare.md): a section per backbone, itself the baseline, and one for the backbones
# against DIN; and figures.csv (table_lib.sh). CONFIG has the options of training (its section `train`), SEEDS are comma-separated. Each
# step is a verb that does nothing when its result is up to date, so this program goes on where it was stopped. From the environment:
#   BACKBONES  those wanted (default: all)
#   CONTROLS   side modules that DIN gets besides, with a section for each that has it as the baseline of the others
#   OTHERS     folders of rankers made elsewhere, shown among the backbones
#   THREADS    is handed to every verb
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
shift 5
backbones=${BACKBONES:-lr fm mf deepfm xdeepfm autoint dcn dcnv2 din bst}
mkdir -p "$out"
log=$out/rankers.log
. "$(dirname "$0")/table_lib.sh"

sections=()
read -ra plain <<<"${OTHERS:-}"
for backbone in $backbones; do
    sides="$*"
    [ "$backbone" != din ] || sides+=" ${CONTROLS:-}"
    step train --dataset "$in/dataset" --backbone "$backbone" --config "$config" --seeds "$seeds" --out "$out/$backbone"
    rivals=()
    for side in $sides; do
        step train --dataset "$in/dataset" --vectors "$in/vectors" --examples "$in/examples" --retrieved "$in/retrieved" \
            --backbone "$backbone" --side "$side" --config "$config" --seeds "$seeds" --out "$out/$backbone-$side"
        rivals+=("$out/$backbone-$side")
    done
    [ ${#rivals[@]} -eq 0 ] || sections+=(--section "$backbone" --baseline "$out/$backbone" "${rivals[@]}")
    [ "$backbone" = din ] || plain+=("$out/$backbone")
    echo "rankers: $backbone done" >&2
done
[ ! -e "$out/din" ] || [ ${#plain[@]} -eq 0 ] || sections+=(--section backbones --baseline "$out/din" "${plain[@]}")
for control in ${CONTROLS:-}; do
    others=()
    for side in "$@" $CONTROLS; do [ "$side" = "$control" ] || others+=("$out/din-$side"); done
    sections+=(--section "beside din-$control" --baseline "$out/din-$control" "${others[@]}")
done
step compare --out "$out/compare" "${sections[@]}"
{ figures_head && figures "$out/compare"; } >"$out/figures.csv"
cat "$out/compare/compare.md"
