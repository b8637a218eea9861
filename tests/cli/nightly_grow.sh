# A night on a log that grew by a day: only what is new is generated and encoded, the rankers begin where they were, and the books say so.
set -eu
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
cat >night.yaml <<'YAML'
prepare: {split: time}
tune: {steps: 150, dim: 64, layers: 2, vocab: 800, batch: 4, eval-rows: 20}
generate: {share: 0.3, candidates: 2, max-tokens: 80}
train: {epochs: 1, seeds: 1}
evaluate: {replicates: 200, require: auc_b >= 0}
YAML
"$LLMCF" simulate --users 80 --items 60 --days 40 --out full --quiet
mkdir raw
night() { # DATE [VARIABLE=VALUE]: the exit code
    local date=$1
    shift
    LCF_NIGHT_TARGET=night "$LCF_SOURCE_DIR/offline/nightly.sh" DATA=shop SRC="$PWD/raw" WORK="$PWD/work" CONFIG="$PWD/night.yaml" \
        LLMCF="$LLMCF" METRICS="$PWD/night.prom" MAKEFLAGS= DATE="$date" "$@" >log."$date" 2>&1
}
until_days() { # N: the log without its last N days
    awk -F'\t' -v n="$1" 'NR == FNR { if ($3 + 0 > last) last = $3 + 0; next } FNR == 1 || $3 + 0 <= last - 86400 * n' \
        full/interactions.tsv full/interactions.tsv >raw/interactions.tsv
}
field() { # STEP FIELD of the night d2
    jq -r --arg step "$1" "select(.step == \$step) | .$2" work/logs/d2/steps.jsonl
}

until_days 1
cp full/items.tsv raw/
night d1 || fail "the first night: $(tail -3 log.d1)"
records=$("$LLMCF" store stats --cot work/cot | jq .records)
sha256sum work/recgen/recgen.gguf work/vectors/encoder.lcf >kept
night d1b || fail "a night without news"
grep -q 'nothing changed' log.d1b || fail "a night without news did something"
[ ! -s work/logs/d1b/steps.jsonl ] || fail "a night without news has steps"
grep -q '^llmcf_night_exit 0' night.prom || fail "no metrics: $(cat night.prom)"

until_days 0
tail -1 full/items.tsv | sed 's/^[^\t]*/i-new/' >>raw/items.tsv
night d2 || fail "the second night: $(tail -3 log.d2)"
new=$(jq .rows.new work/changes/changes.json)
[ "$new" -gt 10 ] && [ "$new" -lt 200 ] || fail "$new new rows"
[ "$(jq -c '[.items.new, .rows.gone, .users.gone]' work/changes/changes.json)" = '[1,0,0]' ] || fail "$(cat work/changes/changes.json)"
sha256sum -c --quiet kept || fail "the model or the encoder was made anew"
[ "$(field tune changed)" = false ] || fail "tuned again"
generated=$(field generate rows)
[ "$generated" -gt 0 ] && [ "$generated" -le "$new" ] || fail "$generated rows generated of $new new ones"
[ "$("$LLMCF" store stats --cot work/cot | jq .records)" = $((records + generated)) ] || fail "records came or went otherwise"
[ "$(field encode rows)" -le $((60 + generated)) ] || fail "$(field encode rows) texts encoded"
grep -q 'rows searched anew, the others among' work/logs/d2/retrieve.log || fail "all rows were searched again: $(cat work/logs/d2/retrieve.log)"
"$LLMCF" retrieve --config night.yaml --dataset work/dataset --vectors work/vectors --examples work/examples --out whole --quiet 2>stderr || fail "retrieve: $(cat stderr)"
diff -r work/retrieved whole || fail "what was reused is not what a whole search gives"
for ranker in backbone ict; do
    jq -e '.params.warm_start' work/ranker-$ranker/report.json >/dev/null || fail "$ranker began from scratch"
done
[ "$(readlink work/last) $(readlink work/before)" = "nights/d2 nights/d1" ] || fail "last and before: $(ls -l work)"
[ "$(readlink work/snapshots/current)" = d2 ] || fail "current"
grep -q 'llmcf_night_step_exit{step="publish"} 0' night.prom || fail "no publish among the metrics"
grep -q 'llmcf_night_feature_psi{feature="label"}' night.prom || fail "no drift among the metrics"
grep -q 'llmcf_night_score_psi{arm="ict"}' night.prom || fail "no drift of scores among the metrics: $(cat night.prom)"
grep -q '| rows |' work/changes/changes.md || fail "no page of changes"

# A gate that is not passed, another night and a wrong option have exit codes of their own.
sed 's/auc_b >= 0/auc_b > 2/; s/seeds: 1/seeds: 2/' night.yaml >strict.yaml
code=0
night d3 CONFIG="$PWD/strict.yaml" || code=$?
[ $code = 3 ] || fail "exit code $code of a gate that was not passed: $(tail -3 log.d3)"
grep -q '^llmcf_night_exit 3' night.prom || fail "the metrics do not tell of the gate"
[ "$(readlink work/last)" = nights/d2 ] || fail "what was not published is the last"
exec 8>work/.night.lock
flock 8
code=0
night d4 || code=$?
[ $code = 75 ] || fail "exit code $code beside another night"
exec 8>&-
sed 's/epochs: 1/epoch: 1/' night.yaml >wrong.yaml
code=0
night d5 CONFIG="$PWD/wrong.yaml" || code=$?
[ $code = 2 ] || fail "exit code $code of a wrong configuration: $(tail -3 log.d5)"

# What they write is what the schemas say.
if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    /usr/bin/python3 - "$LCF_SOURCE_DIR/schemas" work <<'PY' || fail "not as the schemas say"
import json, sys
from jsonschema import Draft202012Validator
schemas, work = sys.argv[1:]
load = lambda name: Draft202012Validator(json.load(open(f"{schemas}/{name}.schema.json")))
load("night_changes").validate(json.load(open(f"{work}/changes/changes.json")))
for line in open(f"{work}/logs/d2/steps.jsonl"):
    load("night_step").validate(json.loads(line))
PY
fi
