#!/bin/bash
# Runs the benchmark programs of a build and writes one CSV: name,value,unit,machine,commit,date.
#
#     tests/bench/run.sh BIN_DIR [OUT.csv [PROGRAM...]]
#
# OUT.csv is BIN_DIR/../bench.csv by default. Without names it runs every BIN_DIR/bench_*. A benchmark program prints one
# line `name,value,unit` per figure on stdout (anything else on stderr), and exits with 77 when it cannot run here (data
# that is not there). It checks the result before it measures, drops the warm-up, and prints medians. A program that
# fails fails the run; the figures of the others are kept.
set -u -o pipefail

[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bin=$(cd "$1" && pwd) || exit 2
out=${2:-$(dirname "$bin")/bench.csv}
shift $(($# < 2 ? 1 : 2))
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
export LCF_BIN_DIR=$bin LLMCF=$bin/llmcf LCF_SOURCE_DIR=$source_dir LCF_DATA=${LCF_DATA:-$source_dir/../shared/data}
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

programs=("$@")
if [ $# -eq 0 ]; then
    for p in "$bin"/bench_*; do
        [ -f "$p" ] && [ -x "$p" ] && programs+=("$(basename "$p")")
    done
fi
[ ${#programs[@]} -gt 0 ] || { echo "no bench_* in $bin: configure with the preset 'bench'" >&2; exit 1; }

machine="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -s ' ,' ' ') x $(getconf _NPROCESSORS_ONLN)"
commit=$(git -C "$source_dir" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
git -C "$source_dir" diff --quiet HEAD -- 2>/dev/null || commit=$commit+changes
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)

temporary=$(mktemp "$out.XXXXXX") || exit 1
trap 'rm -f "$temporary"' EXIT
echo "name,value,unit,machine,commit,date" >"$temporary"
failed=0
for p in "${programs[@]}"; do
    echo "== $p" >&2
    lines=$("$bin/$p")
    code=$?
    if [ $code -eq 77 ]; then
        echo "   skipped" >&2
        continue
    elif [ $code -ne 0 ]; then
        echo "   failed with exit code $code" >&2
        failed=1
        continue
    fi
    while IFS= read -r line; do
        if [[ $line =~ ^[A-Za-z0-9_./-]+,-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?,[^,]+$ ]]; then
            echo "$line,$machine,$commit,$date" >>"$temporary"
            echo "   ${line//,/ }" >&2
        else
            echo "   not 'name,value,unit': $line" >&2
            failed=1
        fi
    done <<<"$lines"
done
chmod 644 "$temporary"
mv "$temporary" "$out" || exit 1
echo "$out: $(($(wc -l <"$out") - 1)) figures" >&2
exit $failed
