#!/bin/bash
# Every ranking backbone on one data set, alone and with side modules, as one table with paired intervals.
#
#   rankers.sh LLMCF IN OUT CONFIG SEEDS [SIDE...]
#
# IN holds what the pipeline made: dataset, and for side modules vectors, examples and retrieved. OUT gets a ranker folder per row and
# compare/ (Markdown, CSV, HTML, JSON; schemas/compare.md): a section per backbone, itself the baseline, and one for the backbones
# against DIN. CONFIG has the options of training (its section `train`), SEEDS are comma-separated. Each step is a verb that does
# nothing when its result is up to date, so this program goes on where it was stopped. BACKBONES in the environment names those
# wanted (default: all), THREADS is handed to every verb.
set -eu
llmcf=$1 in=$2 out=$3 config=$4 seeds=$5
shift 5
backbones=${BACKBONES:-lr fm mf deepfm xdeepfm autoint dcn dcnv2 din bst}
mkdir -p "$out"
log=$out/rankers.log

step() {
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    "$llmcf" "$@" --threads "${THREADS:-0}" >>"$log" 2>&1 || {
        echo "rankers: llmcf $1 failed, see $log" >&2
        exit 1
    }
}

sections=() plain=()
for backbone in $backbones; do
    step train --dataset "$in/dataset" --backbone "$backbone" --config "$config" --seeds "$seeds" --out "$out/$backbone"
    rivals=()
    for side in "$@"; do
        step train --dataset "$in/dataset" --vectors "$in/vectors" --examples "$in/examples" --retrieved "$in/retrieved" \
            --backbone "$backbone" --side "$side" --config "$config" --seeds "$seeds" --out "$out/$backbone-$side"
        rivals+=("$out/$backbone-$side")
    done
    [ ${#rivals[@]} -eq 0 ] || sections+=(--section "$backbone" --baseline "$out/$backbone" "${rivals[@]}")
    [ "$backbone" = din ] || plain+=("$out/$backbone")
    echo "rankers: $backbone done" >&2
done
[ ! -e "$out/din" ] || [ ${#plain[@]} -eq 0 ] || sections+=(--section backbones --baseline "$out/din" "${plain[@]}")
step compare --out "$out/compare" "${sections[@]}"
cat "$out/compare/compare.md"
