#!/bin/bash
# Every format has a document, a machine-readable schema and an example; every JSON example is valid under its schema; the
# configuration's schema and example agree with what the verbs themselves say.
set -u
schemas=$LCF_SOURCE_DIR/schemas
fails=0
fail() { echo "FAILED: $*" >&2; fails=$((fails + 1)); }

machine='(schema\.json|arrays\.json|keys\.json|layout\.json|proto)'
# a machine-readable schema: a document names it
for file in "$schemas"/*; do
    base=$(basename "$file")
    grep -qE "\.$machine\$" <<<"$base" || continue
    grep -lqF "$base" "$schemas"/*.md || fail "no document in schemas/ names $base"
done
# a document: names a schema and an example that are there, and the index names it. Without a schema of their own: bundle.md, the
# container of all formats with an arrays.json, and prompts.md, which is about texts.
for file in "$schemas"/*.md; do
    name=$(basename "$file" .md)
    [ "$name" = README ] && continue
    grep -qF "($name.md)" "$schemas/README.md" || fail "README.md does not name $name.md"
    found=
    for schema in $(grep -oE "[a-z_]+\.$machine" "$file" | sort -u); do
        if [ -e "$schemas/$schema" ]; then found=1; else fail "$name.md names $schema, which is not there"; fi
    done
    case $name in bundle | prompts) continue ;; esac
    [ -n "$found" ] || fail "$name.md names no machine-readable schema"
    found=
    for example in $(grep -oE 'examples/[A-Za-z0-9_./-]*[A-Za-z0-9_]' "$file" | sort -u); do
        [ -e "$schemas/$example" ] && found=1
    done
    [ -n "$found" ] || fail "$name.md names no example that is there"
done
# the index names nothing that is not there
for target in $(grep -oE '\]\([^)#]+\)' "$schemas/README.md" | sed 's/^](//; s/)$//'); do
    [ -e "$schemas/$target" ] || fail "README.md links to $target, which is not there"
done
# every kind of bundle has an example, and it holds the arrays that are described
for schema in "$schemas"/*.arrays.json; do
    found=
    for bundle in "$schemas"/examples/*.lcf "$schemas"/examples/*/*.lcf; do
        "$LCF_BIN_DIR/check_arrays" "$schema" "$bundle"
        case $? in
        0) found=1 ;;
        3) ;; # of another kind
        *) found=1; fail "$(basename "$bundle") is not as $(basename "$schema") says" ;;
        esac
    done
    [ -n "$found" ] || fail "$(basename "$schema") has no example"
done
# messages in bytes are what their layout says
for kind in request response; do
    /usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/binary_layout.py" "$schemas/rank_binary.layout.json" $kind \
        "$schemas/examples/rank_$kind.bin" >$kind.json || fail "rank_$kind.bin is not as rank_binary.layout.json says"
done
jq -e '.user_id == "u7" and .flags == ["history", "strict", "items", "user_features"] and .candidates == ["i3", "i404", "i9"] and .history == ["i1", "i4"] and
    .context[0] == {"name": "hour", "value": "20"} and .user_features == [{"name": "city", "value": "Oslo"}] and .k == 4 and .time == 1700000000 and
    .items[0].categories == ["Lamps", "Gifts"] and .items[1].title == ""' request.json >/dev/null || fail "$(cat request.json)"
jq -e '.generation == "20261122T020000Z" and .arm == "din-ict" and .degraded == "unknown_user" and .ict_ms == 0.875 and
    .results[1] == {"candidate": 0, "score": 0.5, "examples_n": 0, "degraded": "no_examples"} and .results[3].degraded == "other"' \
    response.json >/dev/null || fail "$(cat response.json)"
# every verb takes its section of the example
for verb in $(sed -n 's/^\([a-z-]*\):.*/\1/p' "$schemas/examples/config.yaml"); do
    "$LLMCF" "$verb" --config "$schemas/examples/config.yaml" --help >/dev/null 2>err.txt ||
        fail "$verb refuses examples/config.yaml: $(cat err.txt)"
done

python=python3
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null && python=/usr/bin/python3
if ! "$python" -c 'import jsonschema' 2>/dev/null; then
    [ $fails -eq 0 ] || exit 1
    echo "python3-jsonschema is not installed: examples are not validated" >&2
    exit 77
fi
"$python" - "$schemas" <<'PYTHON' || fail "examples"
import glob, json, os, sys
from jsonschema import Draft202012Validator

wrong = 0
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.schema.json"))):
    name = os.path.basename(path)[:-len(".schema.json")]
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    examples = glob.glob(os.path.join(sys.argv[1], "examples", name + ".json"))
    examples += glob.glob(os.path.join(sys.argv[1], "examples", "*", name + ".json"))
    if not examples and name != "config":
        print(f"{name}.schema.json has no example", file=sys.stderr)
        wrong = 1
    for example in examples:
        with open(example, encoding="utf-8") as file:
            for error in Draft202012Validator(schema).iter_errors(json.load(file)):
                print(f"{example}: {'/'.join(map(str, error.path))}: {error.message[:200]}", file=sys.stderr)
                wrong = 1
        print(f"{os.path.relpath(example, sys.argv[1])} is valid")
sys.exit(wrong)
PYTHON
"$python" "$schemas/make_config_schema.py" "$LLMCF" --check "$schemas/config.schema.json" || fail "config.schema.json is not what --help says"

# what the program writes today is valid, too
"$LCF_BIN_DIR/eval_fixture" better a b &&
    "$LLMCF" evaluate --a a --b b --out report --replicates 200 --require 'auc_a > 0' --quiet 2>/dev/null || fail "no report"
"$LLMCF" compare --baseline a b --out compare --replicates 100 --quiet 2>/dev/null || fail "no comparison"
for kind in report compare; do
    "$python" - "$schemas/$kind.schema.json" $kind/$kind.json <<'PYTHON' || fail "$kind.json is not valid"
import json, sys
from jsonschema import Draft202012Validator
Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))
PYTHON
done
(cd "$schemas/examples/ope" && "$LLMCF" ope --log requests.jsonl --target scores:candidate.jsonl --temperature 0.7 --replicates 200 \
    --require 'ips > 0' --json --quiet 2>/dev/null) >ope.json || fail "no counterfactual report"
"$python" - "$schemas/ope_report.schema.json" ope.json <<'PYTHON' || fail "ope.json is not valid"
import json, sys
from jsonschema import Draft202012Validator
Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))
PYTHON
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
