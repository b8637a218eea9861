# export-requests and import-responses: any order, parts, errors, nonsense and repetition come to the same store.
command -v python3 >/dev/null || exit 77
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
EXPORT="--dataset dataset --model-name tiny --template llama2 --share 0.1"
"$LLMCF" export-requests $EXPORT --max-requests 50 --out requests --json >summary.json 2>>log
rows=$(jq .rows_chosen summary.json)
jq -e '.requests == .rows_chosen and .files == ((.rows_chosen + 49) / 50 | floor) and .files > 1' summary.json >/dev/null ||
    fail "summary: $(cat summary.json)"
[ "$(cat requests/requests-*.jsonl | wc -l)" = "$rows" ] || fail "not a line a request"
[ "$(jq -r .custom_id requests/requests-*.jsonl | sort -u | wc -l)" = "$rows" ] || fail "a custom_id twice"
jq -se 'all(.[]; .method == "POST" and .url == "/v1/chat/completions" and .body.n == 3 and .body.model == "tiny" and
    (.body.messages | length) == 2)' requests/requests-*.jsonl >/dev/null || fail "requests: $(head -1 requests/requests-00001.jsonl)"
"$LLMCF" export-requests $EXPORT --max-requests 50 --out requests --json 2>>log | jq -e .current >/dev/null ||
    fail "a second export did something"
"$LLMCF" export-requests $EXPORT --max-bytes 20K --out small 2>>log
for file in small/requests-*.jsonl; do
    [ "$(stat -c %s "$file")" -le 20480 ] || fail "$file is too large"
done
[ "$(cat small/requests-*.jsonl | sort | md5sum)" = "$(cat requests/requests-*.jsonl | sort | md5sum)" ] || fail "the size of files changes requests"
test "$(exit_code "$LLMCF" export-requests $EXPORT --max-bytes 100 --out none)" = 1
[ ! -e none ] || fail "a failed export left a folder"

if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    "$LLMCF" export-requests $EXPORT --api completions --top-k 0 --min-p 0.05 --repeat-penalty 1.1 --stop End --stop '##' \
        --score-weights "$LCF_SOURCE_DIR/schemas/examples/score_weights.json" --out plain 2>>log
    jq -se 'all(.[]; .body.min_p == 0.05 and .body.repetition_penalty == 1.1 and .body.stop == ["End", "##"])' plain/*.jsonl >/dev/null ||
        fail "sampling: $(head -1 plain/requests-00001.jsonl)"
    jq -e '.version == 2 and .score_weights.features.hedges.weight < 0' plain/job.json >/dev/null || fail "job: $(cat plain/job.json)"
    : >none.jsonl
    "$LLMCF" import-responses --dataset dataset --requests plain --out nothing none.jsonl 2>>log || fail "a job with weights cannot be read"
    jq '.score_weights.features.hedges.spread = -1' plain/job.json >job.json && mkdir -p spoilt && mv job.json spoilt/
    test "$(exit_code "$LLMCF" import-responses --dataset dataset --requests spoilt --out nothing none.jsonl)" = 1
    cat requests/*.jsonl plain/*.jsonl | /usr/bin/python3 -c '
import json, sys, jsonschema
v = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))
for line in sys.stdin:
    v.validate(json.loads(line))' "$LCF_SOURCE_DIR/schemas/requests.schema.json" || fail "a request is not valid"
fi

# templates: the built-in one as a file says the same, under a key of its own; what is hidden is not there
"$LLMCF" export-requests --print-template llama2 >own.prompt
sed -i 's/^name: .*/name: own/; s/^version: .*/version: 4/' own.prompt
"$LLMCF" export-requests $EXPORT --prompt-template own.prompt --out own 2>>log
bodies() { cat "$1"/requests-*.jsonl | jq -c .body.messages | sort; }
cmp <(bodies requests) <(bodies own) || fail "the built-in template as a file says something else"
[ -z "$(comm -12 <(jq -r .custom_id requests/*.jsonl | sort) <(jq -r .custom_id own/requests-*.jsonl | sort))" ] || fail "another template, the same key"
jq -e '.prompt | test("^own-4#[0-9a-f]{16} history=8 title=48$")' own/job.json >/dev/null || fail "version: $(cat own/job.json)"
"$LLMCF" export-requests $EXPORT --no-related --hide-answer --out blind 2>>log
bodies requests | grep -q "decision is known" && bodies requests | grep -q "chosen together" || fail "what is shown"
bodies blind | grep -qE "decision is known|chosen together" && fail "what is hidden is shown"
sed 's/{{target}}/{{price}}/' own.prompt >bad.prompt
test "$(exit_code "$LLMCF" export-requests $EXPORT --prompt-template bad.prompt --out x)" = 1
grep -q "bad.prompt:11: 'price' is no value; there are liked" log || fail "an unknown value: $(tail -1 log)"
test "$(exit_code "$LLMCF" export-requests $EXPORT --template recgen --hide-answer --out x)" = 2 || fail "recgen without the answer"
test "$(exit_code "$LLMCF" generate --print-template recgen)" = 2 || fail "recgen as a template"

# answer: reads requests, prints responses, the n-th line with an error where n is in $1 (comma-separated)
answer() {
    python3 - "$1" <<'PYTHON'
import hashlib, json, glob, sys
errors = {int(n) for n in sys.argv[1].split(",") if n}
lines = [json.loads(line) for file in sorted(glob.glob("requests/*.jsonl")) for line in open(file)]
for i, request in enumerate(lines):
    prompt = request["body"]["messages"][-1]["content"]
    made = []
    for n in range(request["body"]["n"]):
        digest = hashlib.sha256(f"{prompt}{n}".encode()).hexdigest()
        text = (f"The user's history shows a steady taste, case {digest[:8]}. The target item belongs to what is related to "
                "it. The profile and the item share a good deal, which speaks for a match. It also adds some variety. "
                "So the decision follows from what is given.")
        made.append({"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"})
    response = {"status_code": 200, "request_id": str(i), "body": {"choices": made, "usage": {"completion_tokens": 150}}}
    if i in errors:
        response = {"status_code": 429, "body": {"error": {"message": "over the limit"}}}
    print(json.dumps({"id": f"batch_{i}", "custom_id": request["custom_id"], "response": response, "error": None}))
PYTHON
}
import() {
    "$LLMCF" import-responses --dataset dataset --requests requests --out "$@" --json >summary.json 2>import.log ||
        fail "exit code $?: $(cat import.log)"
}
check() { jq -e "$1" summary.json >/dev/null || fail "not $1: $(cat summary.json import.log)"; }
answer "" >all.jsonl
import whole all.jsonl
check ".imported == $rows and .lines == $rows and .failed + .unknown + .malformed + .present == 0 and .tokens_generated == 150 * $rows"
"$LLMCF" store export --cot whole 2>>log >whole.jsonl
jq -se 'all(.[]; .model == "chat:tiny" and .score > 0.4 and .candidates == 3)' whole.jsonl >/dev/null || fail "records"
import whole all.jsonl
check ".imported == 0 and .present == $rows"

# fitted weights choose: praise for a Yes, reproach for a No
"$LLMCF" export-requests $EXPORT --score-weights "$LCF_SOURCE_DIR/schemas/examples/score_weights.json" --out weighed 2>>log
jq -c '{custom_id, response: {body: {choices: [
    "The user reads and listens. It is an item of a kind that is known, and it costs what it costs. So much for that.",
    "The user loves items like this. It is an excellent match and highly likely enjoyed. So it is a great choice.",
    "The user dislikes items like this. It is a poor mismatch and highly unlikely to please. So it is not a choice, certainly."]
    | to_entries | map({index: .key, text: .value, finish_reason: "stop"})}}}' weighed/requests-*.jsonl >tones.jsonl
"$LLMCF" import-responses --dataset dataset --requests weighed --out tones tones.jsonl 2>>log
"$LLMCF" store export --cot tones 2>>log | jq -se '(map(.label) | unique) == [0, 1] and
    all(.[]; .candidate == (if .label == 1 then 1 else 2 end) and .score > 0.5 and .score < 1 and .reject_reason == "")' >/dev/null ||
    fail "the weights do not choose"

# backwards, in parts, with errors, a torn last line, a stranger, twice
answer "3,7,20" | tac >errors.jsonl
{ echo; head -n 40 errors.jsonl; echo '{"custom_id": "0123456789abcdef0123456789abcdef", "response": {"body": {}}}'; echo 'no JSON'; echo '{}'
  tail -n +41 errors.jsonl | head -n 20 | head -c -30; } >part.jsonl
import parts part.jsonl
check '.unknown == 1 and .malformed == 3 and .imported > 40'
grep -q "part.jsonl:43: not valid JSON" import.log || fail "which line: $(cat import.log)"
import parts errors.jsonl all.jsonl errors.jsonl
check ".present > $rows and .failed == 6 and .lines == 3 * $rows"
grep -q "HTTP 429: over the limit" import.log || fail "the reason: $(cat import.log)"
zstd -q all.jsonl -o all.jsonl.zst
import compressed all.jsonl.zst
for store in parts compressed; do
    "$LLMCF" store export --cot $store 2>>log >$store.jsonl
    cmp whole.jsonl $store.jsonl
done

# what failed is asked again, and only that; the endpoint's job is the same job
import failed errors.jsonl
check '.failed == 3'
"$LLMCF" export-requests $EXPORT --skip-in failed --out again --json 2>>log | jq -e ".requests == 3 and .rows_present == $rows - 3" >/dev/null ||
    fail "what is asked again"
"$LLMCF" generate $EXPORT --endpoint http://127.0.0.1:1 --out whole --json 2>>log | jq -e ".rows_present == $rows and .rows_left == 0" >/dev/null ||
    fail "generate does not know the imported rows"

# the template of a job goes with its requests
jq -c '{custom_id, response: {body: {choices: [{index: 0, finish_reason: "length", message: {content: "cut"}}]}}}' own/requests-*.jsonl >own.jsonl
rm own.prompt
"$LLMCF" import-responses --dataset dataset --requests own --out own-cot --json own.jsonl 2>>log |
    jq -e ".imported == $rows and .rejected == $rows" >/dev/null || fail "import with a template"

# a killed import goes on
for i in 1 2 3; do
    timeout -s KILL 0.0$i "$LLMCF" import-responses --dataset dataset --requests requests --out killed all.jsonl 2>>log || true
done
import killed all.jsonl
check ".imported + .present == $rows"
"$LLMCF" store export --cot killed 2>>log >killed.jsonl
cmp whole.jsonl killed.jsonl

test "$(exit_code "$LLMCF" import-responses --dataset dataset --requests requests --out x)" = 2
test "$(exit_code "$LLMCF" import-responses --dataset dataset --requests dataset --out x all.jsonl)" = 1
sed -i 's/llama2-1/llama2-0/' small/job.json
test "$(exit_code "$LLMCF" import-responses --dataset dataset --requests small --out x all.jsonl)" = 1
grep -q "this program writes" log || fail "prompts of another version"
[ ! -e x ] || fail "a refused import made a store"
echo ok
