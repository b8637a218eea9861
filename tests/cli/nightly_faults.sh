# The whole nightly graph, killed (SIGKILL to all of it) at random moments, each time from the same start: the next run completes,
# `current` is a whole generation at every moment, no token is generated twice but those of the rows in flight, and what is there in
# the end is the same bytes as that of an undisturbed run. Every second time it is a night on a log that grew by a day.
#
#   nightly_faults.sh [KILLS [SEED]]    default 2 kills; `make -f Makefile.pipeline faults` does 50
set -eu
kills=${1:-2}
RANDOM=${2:-1}
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
rows=300 batch=2 tokens_max=120
cat >night.yaml <<YAML
prepare: {split: time}
tune: {steps: 120, dim: 64, layers: 2, vocab: 800, batch: 4, eval-rows: 20, checkpoint-every: 20}
generate: {share: 0.9, rows: $rows, candidates: 1, max-tokens: $tokens_max, batch: $batch, threads: 1}
train: {epochs: 2, seeds: 1}
evaluate: {replicates: 200, require: auc_b >= 0}
YAML
"$LLMCF" simulate --users 80 --items 60 --days 40 --out full --quiet 2>/dev/null
mkdir raw
cp full/items.tsv raw/
until_days() { # N: the log without its last N days; the same file, time included, whenever it is the same log
    awk -F'\t' -v n="$1" 'NR == FNR { if ($3 + 0 > last) last = $3 + 0; next } FNR == 1 || $3 + 0 <= last - 86400 * n' \
        full/interactions.tsv full/interactions.tsv >raw/interactions.tsv
    touch -d "2020-01-0$((9 - $1))" raw/interactions.tsv
    [ "$1" != 0 ] || touch raw/interactions.tsv
}
night() { # DATE
    make -C "$LCF_SOURCE_DIR" -f Makefile.pipeline night DATA=shop SRC="$PWD/raw" WORK="$PWD/work" CONFIG="$PWD/night.yaml" \
        LLMCF="$LLMCF" MAKEFLAGS= DATE="$1" >>log 2>&1
}
# Every file but logs and locks; but of manifests the identity, the id and the files, of the report all but how long training took,
# and of the store its records: its bytes are no function of them.
contents() {
    (
        cd work
        find . -type f ! -path './logs/*' ! -path './cot/*' ! -path './report/*' ! -name '*.lock' ! -name history.jsonl \
            ! -name manifest.json -exec sha256sum {} + | sort -k 2
        find . -name manifest.json ! -path './report/*' ! -path './cot/*' | sort | while read -r manifest; do
            echo "$manifest $(jq -c '[.id, .identity, .files]' "$manifest" | sha256sum)"
        done
        jq -c 'del(.. | .seconds?)' report/report.json | sha256sum
        "$LLMCF" store export --cot cot 2>/dev/null | sha256sum
    )
}
stored_tokens() {
    [ -e work/cot/data.mdb ] || { echo 0; return; }
    "$LLMCF" store export --cot work/cot 2>/dev/null | jq -s 'map(.tokens_generated) | add // 0'
}
check_current() { # WHEN
    [ ! -L work/snapshots/current ] || "$LLMCF" publish --verify work/snapshots 2>>log || fail "$1: current is not whole"
}
fresh_start() { # KIND: the state that a night begins from
    rm -rf work
    if [ "$1" = n1 ]; then until_days 1; else cp -a base work && until_days 0; fi
}
seconds() { date +%s.%N; }

for kind in n1 n2; do # undisturbed
    fresh_start $kind
    begin=$(seconds)
    night $kind || fail "an undisturbed night: $(tail -3 log)"
    took[${kind#n}]=$(awk -v a="$begin" -v b="$(seconds)" 'BEGIN { print b - a }')
    contents >contents.$kind
    stored_tokens >tokens.$kind
    [ $kind = n2 ] || cp -a work base
done
# What a kill can lose: the rows of one group.
lost_max=$((batch * tokens_max))
[ $((100 * lost_max)) -le "$(cat tokens.n1)" ] || fail "a group is more than one in a hundred of $(cat tokens.n1) tokens"

done_n=0 over_n=0
while [ $done_n -lt "$kills" ]; do
    kind=n$((1 + done_n % 2))
    fresh_start $kind
    before=$(stored_tokens)
    wait_s=$(awk -v t="${took[${kind#n}]}" -v r=$RANDOM 'BEGIN { print t * r / 32768 }')
    setsid bash -c "$(declare -f night); night $kind" &
    leader=$!
    sleep "$wait_s"
    kill -9 -- -$leader 2>/dev/null || over_n=$((over_n + 1))
    wait $leader 2>/dev/null || true
    while kill -0 -- -$leader 2>/dev/null; do sleep 0.02; done
    [ $over_n -le $((kills + 3)) ] || fail "the nights are over before they can be killed"
    last=$(tail -1 work/logs/$kind/steps.jsonl 2>/dev/null | jq -r .step || true)
    check_current "killed after ${last:-nothing}"
    kept=$(stored_tokens)
    : >seen
    [ ! -e work/logs/$kind/steps.jsonl ] || cp work/logs/$kind/steps.jsonl seen
    night $kind || fail "the night after a kill after ${last:-nothing}: $(tail -3 log)"
    check_current "completed"
    contents | diff contents.$kind - >differ || fail "killed after ${last:-nothing}: other bytes: $(head -5 differ)"
    again=$(tail -n +$(($(wc -l <seen) + 1)) work/logs/$kind/steps.jsonl | jq -s 'map(select(.step == "generate").tokens) | add // 0')
    # what was kept, what was generated after it, and at most one group in flight
    [ $((kept + again)) = "$(cat tokens.$kind)" ] || fail "killed after ${last:-nothing}: $kept tokens kept, $again generated again of $(cat tokens.$kind)"
    done_n=$((done_n + 1))
    echo "kill $done_n: $kind after ${wait_s} s, last step ${last:-none}, tokens $before before, $kept kept, $again after"
done
awk -v lost=$lost_max -v all="$(cat tokens.n1)" -v n=$done_n -v over=$over_n \
    'BEGIN { printf "%d nights killed (%d had just ended): the same bytes each time, at most %.4f times the tokens\n", n - over, over, 1 + lost / all }'
