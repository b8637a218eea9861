#!/bin/bash
# The scripts behind `make tuning` and `ilm`: a step that fails says on stderr why, in llmcf's words, and in the log; a path with
# a blank is refused by the pipeline before anything runs, and taken by the scripts.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
recgen=$LCF_SOURCE_DIR/offline/recgen ilm=$LCF_SOURCE_DIR/offline/ilm

mkdir -p "my data/instruct"
printf '[{"instruction": "Hi", "output": "Hello"}]' >"my data/instruct/alpaca_5000.json"
refused() { # refused OUT LOG SCRIPT ARGUMENT...
    local out=$1 log=$2
    shift 2
    expect 1 "failed with exit code 1; its last lines, of $out/$log:" bash "$@"
    tail -n 1 stderr | grep -q 'none.gguf\|none.lcf\|my data/' || fail "no reason: $(cat stderr)"
    grep -qF "$(tail -n 1 stderr)" "$out/$log" || fail "not in the log: $(cat stderr)"
}
refused mix log "$recgen/mix.sh" "$LLMCF" none.gguf "my data/none" "my data" mix
refused tallrec log "$recgen/tallrec.sh" "$LLMCF" none.gguf "my data" tallrec
mkdir -p base/text && touch base/text/done
refused base base.log "$recgen/base.sh" "$LLMCF" "my data" base
refused phase1 log "$ilm/phase1.sh" "$LLMCF" "my data/none" none.lcf phase1
refused ilm log "$ilm/ilm.sh" "$LLMCF" none.gguf "my data/none" none.lcf ilm

expect 2 "SRC='my data' has a blank in it" make -C "$LCF_SOURCE_DIR" -f Makefile.pipeline help SRC="my data"

exit $((fails > 0))
