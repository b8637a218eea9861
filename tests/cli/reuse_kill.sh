#!/bin/bash
# index --reuse and retrieve --reuse, killed: the old artefact stands or the new one, and the next run ends with the bytes of
# a run that nothing disturbed.
#   reuse_kill.sh [KILLS]    of each verb, spread over the time that it takes (default 8)
set -u
kills=${1:-8}
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

until_days() { # N: the log without its last N days
    awk -F'\t' -v n="$1" 'NR == FNR { if ($3 + 0 > last) last = $3 + 0; next } FNR == 1 || $3 + 0 <= last - 86400 * n' \
        full/interactions.tsv full/interactions.tsv >raw/interactions.tsv
}
quietly() { "$@" 2>stderr || fail "$*: $(cat stderr)"; }
day() { # what index and retrieve are made of, in place
    quietly "$LLMCF" prepare --input raw --split time --out dataset
    rm -rf cot
    quietly "$LCF_BIN_DIR/cot_fixture" dataset cot 1 forward
    quietly "$LLMCF" encode --dataset dataset --cot cot --dim 16 --bits 12 --reuse --out vectors
}
index=("$LLMCF" index --dataset dataset --cot cot --vectors vectors)
grow=("${index[@]}" --kind hnsw --reuse --out grown)
retrieve=("$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --check-rows 50 --reuse --out retrieved)

quietly "$LLMCF" simulate --users 150 --items 60 --days 40 --out full --quiet
mkdir raw
cp full/items.tsv raw/
until_days 1
day
quietly "${index[@]}" --out examples
quietly "${grow[@]}"
quietly "${retrieve[@]}"
cp -r grown grown.before
cp -r retrieved retrieved.before
until_days 0
day
quietly "${index[@]}" --out examples

undisturbed() { # OUT COMMAND...: what it makes, as OUT.new, and how long that takes
    local out=$1 begin=$(date +%s%N)
    shift
    quietly "$@" --json >counts.json
    took_ms=$((($(date +%s%N) - begin) / 1000000))
    cp -r "$out" "$out.new"
    diff -rq "$out.before" "$out.new" >/dev/null && fail "$out: nothing is new"
}
disturbed() { # OUT COMMAND...
    local out=$1 killed=0 i
    shift
    for i in $(seq "$kills"); do
        rm -rf "$out"
        cp -r "$out.before" "$out"
        "$@" >/dev/null 2>stderr &
        sleep "$(awk -v ms=$took_ms -v i="$i" -v n="$kills" 'BEGIN { print ms * i / (n + 1) / 1000 }')"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        [ $? = 137 ] && killed=$((killed + 1))
        diff -r "$out.before" "$out" >/dev/null || diff -r "$out.new" "$out" >differ || fail "$out, killed: neither the old nor the new: $(cat differ)"
        quietly "$@"
        diff -r "$out.new" "$out" >differ || fail "$out after a kill: other bytes: $(cat differ)"
        [ "$(echo "$out"?*)" = "$out.before $out.new" ] || fail "left behind: $(echo "$out"?*)"
    done
    [ $killed -gt 0 ] || fail "$out: no run was killed"
}
undisturbed grown "${grow[@]}"
[ "$(jq '.grown_rows // 0' counts.json)" -gt 0 ] || fail "nothing was grown: $(cat counts.json)"
disturbed grown "${grow[@]}"
undisturbed retrieved "${retrieve[@]}"
[ "$(jq .searched_rows counts.json)" -lt "$(jq .rows counts.json)" ] || fail "nothing was reused: $(cat counts.json)"
disturbed retrieved "${retrieve[@]}"
exit $((fails > 0))
