# llmcf publish and llmcf rank: gate, current, exit codes, answers and refusals.
set -u
fail() { echo "FAILED: $*" >&2; exit 1; }
expect() { # CODE TEXT COMMAND...: exit code, and a text in what it says
    local code=$1 text=$2 got
    shift 2
    "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$code" ] || fail "$* ended with $got, not $code: $(cat err)"
    grep -qF -- "$text" out err || fail "$*: no '$text' in: $(cat out err)"
}
"$LCF_BIN_DIR/make_world" world || fail make_world
publish() {
    "$LLMCF" publish --dataset world/dataset --vectors world/vectors --examples world/examples --cot world/cot \
        --arm din=world/din.lcf --arm din-ict=world/ict.lcf --root snapshots "$@"
}

expect 0 "Examples:" "$LLMCF" publish --help
expect 2 "needed" "$LLMCF" publish --dataset world/dataset
expect 2 "NAME=FILE" "$LLMCF" publish --arm din
echo '{"gate": {"passed": false}}' >failed.json
echo '{"gate": {"passed": true}}' >passed.json
echo '{}' >other.json
expect 3 "gate" publish --report failed.json
[ ! -e snapshots ] || fail "a failed gate left something"
expect 1 "not a report" publish --report other.json
echo '{"gate": null}' >ungated.json
expect 1 "ungated.json has no gate" publish --report ungated.json
expect 0 "current -> one" publish --report passed.json --generation one
[ "$(readlink snapshots/current)" = one ] || fail "current is $(readlink snapshots/current)"
expect 0 "up to date" publish --generation two
expect 0 '"unchanged": true' publish --json
expect 0 "by force" publish --report failed.json --generation two --force
[ "$(readlink snapshots/current)" = two ] || fail "current is $(readlink snapshots/current)"
expect 1 "never changed" publish --generation one --default din

# What fails leaves current as it was.
head -c 3000 world/ict.lcf >torn.lcf
expect 1 "arms/din-ict.lcf: 3000 bytes" "$LLMCF" publish --dataset world/dataset --vectors world/vectors --examples world/examples \
    --arm din-ict=torn.lcf --root snapshots --generation three
[ "$(readlink snapshots/current)" = two ] || fail "a failure moved current"
[ "$(ls snapshots | tr '\n' ' ')" = "current history.jsonl one publish.lock two " ] || fail "left behind: $(ls -a snapshots)"

# What was forced says so; it can be taken back; old generations go when they are told to.
[ "$(jq -r .gate snapshots/one/snapshot.json) $(jq -r .gate snapshots/two/snapshot.json)" = "passed forced" ] || fail "the gate is not on record"
[ "$(jq -r .parent snapshots/two/snapshot.json)" = one ] || fail "no parent"
expect 0 "current -> one" "$LLMCF" rollback --root snapshots
expect 1 "does not say" "$LLMCF" rollback --root snapshots
printf '{"time":1,"act' >>snapshots/history.jsonl # as a crash cuts a line
expect 0 "current -> two" "$LLMCF" rollback --root snapshots --to two
[ "$(jq -rc '[.action, .from, .to, .gate]' snapshots/history.jsonl | tail -3 | tr '\n' ' ')" = \
    '["publish","one","two","forced"] ["rollback","two","one",null] ["rollback","one","two",null] ' ] || fail "$(cat snapshots/history.jsonl)"
expect 0 "0 generations removed" "$LLMCF" retire --root snapshots --keep 1

# Another machine: copied by whatever copies folders, verified there.
mkdir -p incoming
cp -r snapshots/two incoming/two
expect 0 "two is whole" "$LLMCF" publish --verify incoming/two
expect 0 "current -> two" "$LLMCF" publish --import incoming/two --root elsewhere
"$LLMCF" rank --snapshot elsewhere --request <(echo '{"user_id": "u2", "candidates": ["i1"]}') >/dev/null || fail "rank on the other machine"
mkdir -p there && cp -r snapshots/two there/two # to its place in the root
expect 0 "current -> two" "$LLMCF" publish --import there/two --root there
cp -r snapshots/one incoming/one
rm incoming/one/arms/din.lcf # a copy that was cut short
expect 1 "arms/din.lcf is missing" "$LLMCF" publish --import incoming/one --root elsewhere
expect 1 "arms/din.lcf is missing" "$LLMCF" publish --verify incoming/one
[ "$(readlink elsewhere/current)" = two ] && [ ! -e elsewhere/one ] || fail "a copy that was cut short arrived"

# Two at a time: the second tries again later.
exec 8>>snapshots/publish.lock
flock 8
expect 75 "locked by another" publish --generation four --force
exec 8>&-

# rank
echo '{"user_id": "u2", "candidates": ["i1", "i2", "nothing"], "explain": true}' >request.json
"$LLMCF" rank --snapshot snapshots --request request.json >answer.json || fail rank
"$LLMCF" rank --snapshot snapshots/two --pretty <request.json >pretty.json || fail "rank from stdin"
for f in answer pretty; do
    jq -e '.generation == "two" and .arm == "din-ict" and (.results | length) == 3' $f.json >/dev/null || fail "$f: $(cat $f.json)"
done
jq -e '[.results[].score] | . == (sort | reverse)' answer.json >/dev/null || fail "out of order"
jq -e '.results[] | select(.item_id == "nothing") | .degraded == "unknown_item"' answer.json >/dev/null || fail "not degraded"
jq -e '[.results[].examples[] | has("user_id")] | any | not' answer.json >/dev/null || fail "names other users"
"$LLMCF" rank --snapshot snapshots --example-users <request.json | jq -e '[.results[].examples[] | has("user_id")] | all' >/dev/null ||
    fail "--example-users"
{ echo '{"candidates": ["i1"]}'; echo '{"candidates": []}'; echo 'nonsense'; echo '{"candidates": ["i2"], "arm": "din"}'; } >lines.jsonl
"$LLMCF" rank --snapshot snapshots --lines --request lines.jsonl >lines.out 2>err
[ $? = 1 ] || fail "two bad lines are no success"
grep -q "2 of 4 requests failed, the first: lines.jsonl:2" err || fail "$(cat err)"
[ "$(jq -c 'has("error")' lines.out | tr '\n' ' ')" = "false true true false " ] || fail "$(cat lines.out)"
echo '{"candidates": ["i1"], "expalin": true}' >typo.json
expect 1 'unknown member "expalin"' "$LLMCF" rank --snapshot snapshots --request typo.json
expect 1 "not valid JSON" "$LLMCF" rank --snapshot snapshots
expect 1 "publish one first" "$LLMCF" rank --snapshot world --request request.json
expect 2 "exclude" "$LLMCF" rank --lines --pretty

# The library in another program gives the program's scores.
"$LCF_BIN_DIR/embed" snapshots u2 i1 i2 nothing >embedded || fail embed
jq -r '.results[] | "\(.item_id) \(.score)"' answer.json >expected
awk 'NR == FNR { score[$1] = $2; next } { d = score[$1] - $2; if (d > 1e-6 || d < -1e-6) exit 1; n++ } END { exit n != 3 }' \
    expected embedded || fail "the library says $(cat embedded), the program $(cat expected)"

# What they write is what the schemas say.
if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    validate() {
        /usr/bin/python3 - "$LCF_SOURCE_DIR/schemas/$1.schema.json" "$2" <<'PY' || fail "$2 is no $1"
import json, sys, jsonschema
jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))
PY
    }
    validate rank_request request.json
    validate rank_response answer.json
    sed -n 2p lines.out >error.json
    validate rank_response error.json
    validate snapshot snapshots/current/snapshot.json
    validate manifest snapshots/current/manifest.json
    for name in rank_request rank_response; do
        validate $name "$LCF_SOURCE_DIR/schemas/examples/$name.json"
    done
    validate snapshot "$LCF_SOURCE_DIR/schemas/examples/snapshot/snapshot.json"
    validate manifest "$LCF_SOURCE_DIR/schemas/examples/artefact/manifest.json"
fi
# One damaged byte: refused, and named.
printf 'X' | dd of=snapshots/two/items.lcf bs=1 seek=200 conv=notrunc 2>/dev/null
expect 1 "two/items.lcf is damaged" "$LLMCF" rank --snapshot snapshots --request request.json
echo ok
