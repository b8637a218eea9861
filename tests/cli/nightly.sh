# The nightly graph: a night, a second one that has nothing to do, one beside another, one whose gate is not passed, and
# one that was killed.
set -eu
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
cat >night.yaml <<'YAML'
simulate: {users: 80, items: 60, days: 40}
prepare: {split: time}
tune: {steps: 150, dim: 64, layers: 2, vocab: 800, batch: 4, eval-rows: 20}
generate: {share: 0.5, rows: 60, candidates: 2, max-tokens: 120}
train: {epochs: 1, seeds: 1}
evaluate: {replicates: 200, require: auc_b >= 0}
YAML
night() {
    make -C "$LCF_SOURCE_DIR" -f Makefile.pipeline night WORK="$PWD/work" CONFIG="$PWD/$1" LLMCF="$LLMCF" \
        DATE="$2" MAKEFLAGS= >>log 2>&1
}

night night.yaml d1 || fail "the first night: $(tail -3 log)"
[ "$(readlink work/snapshots/current)" = d1 ] || fail "current is not the first night"
for step in simulate prepare tune generate encode index retrieve train-backbone train-ict evaluate publish; do
    [ -f work/logs/d1/$step.log ] || fail "no log of $step"
done
grep -q 'similarity decile' work/report/report.md || fail "no slices by the similarity of the examples"

touch before
night night.yaml d2 || fail "the second night"
tail -1 log | grep -q "nothing changed" || grep -q "nothing changed" log || fail "the second night did something"
[ -z "$(find work -newer before -name '*.lcf')" ] || fail "the second night wrote something"
[ "$(readlink work/snapshots/current)" = d1 ] || fail "current moved"

exec 8>work/.night.lock
flock 8
night night.yaml d3 && fail "two nights at once"
grep -q "another night" log || fail "no word of the other night"
exec 8>&-

sed 's/auc_b >= 0/auc_b > 2/; s/seeds: 1/seeds: 2/' night.yaml >strict.yaml
night strict.yaml d4 && fail "a gate that cannot be passed was passed"
[ "$(readlink work/snapshots/current)" = d1 ] || fail "current moved although the gate was not passed"

sed 's/steps: 150/steps: 151/' night.yaml >longer.yaml
setsid bash -c "$(declare -f night); night longer.yaml d5" &
wait_until grep -q "steps=151" log || fail "the night did not come to tuning"
sleep 0.5
kill -9 -- -$! 2>/dev/null || fail "the night was over before it could be killed"
wait || true
night longer.yaml d5 || fail "the night after a kill: $(tail -3 log)"
[ "$(readlink work/snapshots/current)" = d5 ] || fail "the night after a kill did not publish"
