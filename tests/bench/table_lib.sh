# What the programs that make tables of rankers share; sourced by them with llmcf, log and out set.
#
# Figures have one form everywhere, a line each, so that a change of one figure is a change of one line:
#   section,system,seeds,measure,value,std,lift,low,high
# value is the mean over seeds and std their standard deviation; lift is that over the first system of the section, with its paired,
# user-clustered 95 % interval. Of the test split, but for valid_auc, which chose the epoch. Six decimals.

step() { # VERB OPTION...
    echo "$(date -u +%H:%M:%S) llmcf $*" >>"$log"
    "$llmcf" "$@" --threads "${THREADS:-0}" >>"$log" 2>&1 || {
        echo "$(basename "$0" .sh): llmcf $1 failed, see $log" >&2
        exit 1
    }
}

figures_head() { echo section,system,seeds,measure,value,std,lift,low,high; }

rounded='def rounded: if . == null then "" else . * 1e6 | round / 1e6 end;
    def line: map(tostring) | join(",");'

figures() { # COMPARISON: what `llmcf compare` made
    jq -r "$rounded"'.sections[] | .name as $section | .systems[] | [$section, .name, .seeds] as $who
        | (.measures | {auc, uauc, logloss} | to_entries[] | .key as $measure | .value
           | $who + [$measure] + ([.value, .std, .lift.value, .lift.low, .lift.high] | map(rounded))),
          (.training | values | [.seeds[] | .epochs[.best_epoch - 1].valid_auc]
           | $who + ["valid_auc", (add / length | rounded), "", "", "", ""])
        | line' "$1/compare.json"
}

next_figures() { # RUN [COMPARISON.json]: what `llmcf train-next` made, and `llmcf compare-next` with the run without a side module
    jq -r --arg system "$(basename "$1")" --slurpfile lifts "${2:-/dev/null}" "$rounded"'(.seeds | length) as $seeds | .test
        | ["hr@10", "ndcg@10", "mrr"][] as $measure | .[$measure] | ($lifts[0].measures[$measure] // {}) as $lift
        | ["next item", $system, $seeds, $measure] + ([.mean, .sd, $lift.difference, $lift.low, $lift.high] | map(rounded)) | line' \
        "$1/report.json"
}
