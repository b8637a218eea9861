#!/bin/bash
# tuning.sh LLMCF BASE MIX TALLREC OUT [SPEED.csv...]: every figure of tuning in one file, from what base.sh, mix.sh and tallrec.sh left in
# their folders and from the speed files of tests/bench/twin_llama.sh. Into OUT: results.csv (part, case, measure, value: each figure on a
# line of its own), TUNING.md (the same as tables, with ten generations before and after), base-loss.svg, mix-loss.svg, tallrec-loss.svg,
# mix.svg. Nothing is computed here, so that it may run again at any time.
set -eu -o pipefail
llmcf=$1 base=$2 mix=$3 tallrec=$4 out=$5
shift 5
mkdir -p "$out"

# long PART KEYS FILE: a table into lines part,case,measure,value; the first KEYS columns name the case.
long() {
    awk -F, -v part="$1" -v keys="$2" '/^#/ { next } !head { n = split($0, name); head = 1; next }
        { row = $1; for (i = 2; i <= keys; i++) row = row " " $i
          for (i = keys + 1; i <= n; i++) if ($i != "" && $i != "-") print part "," row "," name[i] "," $i }' "$3"
}
# table FILE: as Markdown, with four figures of every number
table() {
    awk -F, '/^#/ { next } { printf "|"; for (i = 1; i <= NF; i++)
            printf " %s |", $i ~ /^-?[0-9]*\.[0-9]+(e-?[0-9]+)?$/ ? sprintf("%.4g", $i) : $i; print "" }
        !head { head = 1; printf "|"; for (i = 1; i <= NF; i++) printf "---|"; print "" }' "$1"
}
# sources NAME RUN: what a run was trained on, by its report
sources() {
    jq -r --arg run "$1" '.mixture[] | [$run, .kind, .group, .share, .rows, .held_out, .without_answer, .tokens_per_row,
        .answer_tokens_per_row, .truncated, .lost] | @csv' "$2/report.json" | tr -d '"'
}

sources_csv=$out/sources.csv
{
    echo run,source,group,share,rows,held_out,without_answer,tokens_per_row,answer_tokens,truncated,lost
    sources base "$base/base"
    sources mix "$mix/run-1-${SHOWN:-0.5}"
    sources tallrec-1 "$tallrec/stage1"
} >"$sources_csv"
{
    echo part,case,measure,value
    awk -F, 'NR > 1 { print "sources," $1 " " NR - 1 " " $2 "," "share," $4; print "sources," $1 " " NR - 1 " " $2 "," "rows," $5
        print "sources," $1 " " NR - 1 " " $2 "," "tokens_per_row," $8; print "sources," $1 " " NR - 1 " " $2 "," "truncated," $10 }' "$sources_csv"
    long base 1 "$base/results.csv"
    long mix 2 "$mix/mix.csv"
    long tallrec 5 "$tallrec/tallrec.csv"
    long tallrec-mean 4 "$tallrec/summary.csv"
    for speed in "$@"; do awk -F, '!/^#/ && $1 != "name" { print "speed," $1 "," $3 "," $2 }' "$speed"; done
} >"$out/results.csv"

cp "$base/loss.svg" "$out/base-loss.svg"
cp "$mix/loss.svg" "$out/mix-loss.svg"
cp "$mix/mix.svg" "$out/mix.svg"
cp "$tallrec/loss.svg" "$out/tallrec-loss.svg"
{
    cat <<'END'
# Tuning, measured

What `make -f Makefile.pipeline tuning SRC=DIR` made: a base from scratch (`base.sh`), the same base tuned with more and less
recommendation (`mix.sh`), TALLRec on it (`tallrec.sh`), and the speed of training. Each figure stands on a line of its own in results.csv.

## What was trained on
END
    echo
    table "$sources_csv"
    printf '\n## The base, beside the default tiny model\n\n'
    table "$base/results.csv"
    printf '\n![loss](base-loss.svg)\n\n## Recommendation against general ability, by the mixing ratio\n\n'
    table "$mix/mix.csv"
    printf '\n![AUC against bits per byte](mix.svg)\n![loss](mix-loss.svg)\n\n## TALLRec, means over the seeds\n\n'
    table "$tallrec/summary.csv"
    printf '\n![loss](tallrec-loss.svg)\n'
    for speed in "$@"; do
        printf '\n## Speed: %s\n\n' "$(basename "$speed" .csv)"
        table "$speed"
    done
    echo
    sed 's/^# /## /' "$mix/generations.md"
} >"$out/TUNING.md"
