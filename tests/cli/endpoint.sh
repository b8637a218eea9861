# generate --endpoint: a server that is slow, limits, fails, cuts connections and answers nonsense costs time and nothing else.
command -v python3 >/dev/null || exit 77
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
KEY=sk-test-5ecret
umask 077
printf '%s\n' "$KEY" >key
server=
trap 'kill $server 2>/dev/null || true' EXIT

# serve MODE...: a fresh server; its port into $port, its requests into requests.log
serve() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -f port
    python3 "$LCF_SOURCE_DIR/tests/cli/bad_endpoint.py" requests.log "$@" >port 2>server.err &
    server=$!
    wait_until test -s port || fail "the server did not start: $(cat server.err)"
    port=$(cat port)
}
# ask STORE OPTION...: exit code; messages in ask.log, the summary in summary.json
ask() {
    local out=$1
    shift
    "$LLMCF" generate --dataset dataset --endpoint "http://127.0.0.1:$port" --model-name tiny --template llama2 --share 0.05 \
        --api-key-file key --retry-wait 0.02 --out "$out" --json "$@" >summary.json 2>ask.log && echo 0 || echo $?
}
same_as_whole() {
    "$LLMCF" store export --cot "$1" 2>>log >"$1.jsonl"
    cmp whole.jsonl "$1.jsonl" || fail "$1: not the records of an undisturbed run"
}
requests() { grep -c "" requests.log || true; }

say "undisturbed; n candidates at once, connections kept"
serve ok
test "$(ask whole --concurrency 4)" = 0 || fail "exit code: $(cat ask.log)"
rows=$(jq .rows_chosen summary.json)
[ "$rows" -gt 30 ] || fail "only $rows rows"
jq -e '.rows_generated == .rows_chosen and .rows_left == 0 and .requests == .rows_chosen and .requests_failed == 0 and
    .tokens_generated == 180 * .rows_chosen' summary.json >/dev/null || fail "summary: $(cat summary.json)"
[ "$(awk '{print $2}' requests.log | sort -u | wc -l)" -le 4 ] || fail "connections are not kept"
[ "$(awk '{print $3}' requests.log | sort -n | tail -1)" -le 4 ] || fail "more than --concurrency requests at a time"
grep -v " key /v1/chat/completions n=3 model=tiny top_k=50 " requests.log && fail "a request is not as it should be"
"$LLMCF" store export --cot whole 2>>log >whole.jsonl
jq -se 'all(.[]; .model == "chat:tiny" and .score > 0.4 and .tokens > 40 and .prompt_tokens == 50 and .candidates == 3)' \
    whole.jsonl >/dev/null || fail "records: $(head -1 whole.jsonl)"
test "$(ask whole)" = 0 && jq -e .current summary.json >/dev/null || fail "a second run did something"
grep -rqF "$KEY" whole ask.log summary.json && fail "the key is in what was written"

say "one candidate at a time"
serve one
test "$(ask single)" = 0 || fail "exit code: $(cat ask.log)"
[ "$(requests)" = $((3 * rows)) ] || fail "$(requests) requests for $rows rows of 3"

say "429 with and without Retry-After, 5xx, cut connections, nonsense: the same records"
serve 429 2\*ok 429-date ok 3\*429-plain 2\*500 ok 503 cut ok drop 2\*html empty cut ok
started=$(date +%s%N)
test "$(ask stormy --concurrency 3)" = 0 || fail "exit code: $(cat ask.log)"
waited=$((($(date +%s%N) - started) / 1000000))
[ "$waited" -ge 1900 ] || fail "Retry-After was not waited for: $waited ms"
jq -e '.requests_failed == 13 and .requests == .rows_chosen + 13' summary.json >/dev/null || fail "counts: $(cat summary.json)"
same_as_whole stormy

say "too long: less history; refused: left, and asked for again"
serve ok long ok 400 ok
test "$(ask refused --concurrency 1)" = 0 || fail "exit code: $(cat ask.log)"
jq -e '.rows_left == 1 and .rows_refused == 1 and .rows_generated == .rows_chosen - 1' summary.json >/dev/null ||
    fail "counts: $(cat summary.json)"
grep -q "refused 1 rows, for example: HTTP 400: no such parameter: seed  or so" ask.log || fail "the reason: $(cat ask.log)"
[ -e refused/manifest.json ] && fail "a manifest of a store that lacks a row"
test "$(ask refused)" = 0 && jq -e '.rows_generated == 1 and .rows_left == 0' summary.json >/dev/null || fail "the row that was left"
serve one long ok
test "$(ask shortened --concurrency 1)" = 0 || fail "exit code: $(cat ask.log)"
sed -n 3p requests.log | grep -q " n=3 " || fail "candidates of a longer history stay: $(sed -n 3p requests.log)"
serve null
test "$(ask null)" = 0 || fail "exit code: $(cat ask.log)"
jq -e '.rows_rejected == .rows_chosen' summary.json >/dev/null || fail "answers without content: $(cat summary.json)"
[ "$("$LLMCF" store stats --cot null | jq .reasons.empty)" = "$rows" ] || fail "the reason of empty texts is not counted"

# gone EXIT_CODE TEXT OPTION...: how a run ends
gone() {
    local code=$1 text=$2 got
    shift 2
    rm -rf gone
    got=$(ask gone "$@")
    [ "$got" = "$code" ] || fail "exit code $got, not $code: $(cat ask.log)"
    grep -qF -- "$text" ask.log || fail "no '$text' in: $(cat ask.log)"
    grep -qF "$KEY" ask.log && fail "the key is in a message"
    return 0
}
say "what does not get better"
serve 401
gone 1 "HTTP 401: Incorrect API key provided: Bearer [API key]"
[ "$(requests)" -le 8 ] || fail "went on asking with a wrong key"
serve 404
gone 1 "HTTP 404: trouble 404"
serve 400
gone 1 "the endpoint refuses every row: HTTP 400"
[ "$(requests)" -le 12 ] || fail "went on asking what is refused"
serve redirect
gone 1 "a redirect; they are not followed"
[ "$(requests)" -le 8 ] || fail "a redirect was followed"
serve huge
gone 1 "an answer of more than 8 MiB"
serve html
gone 75 "an answer that is none: answer:1:1: not valid JSON" --retries 2
serve echo
gone 75 "an answer that is none" --retries 1
serve mute
gone 75 "Timeout was reached" --retries 1 --timeout 0.1
serve 429-long
gone 75 "left alone for 86400 s"
kill "$server" && wait "$server" 2>/dev/null || true
gone 75 "Couldn't connect to server" --retries 1

say "killed: at most what was in flight is asked for again"
serve slow
"$LLMCF" generate --dataset dataset --endpoint "http://127.0.0.1:$port/v1/" --model-name tiny --template llama2 --share 0.05 \
    --concurrency 8 --out killed 2>>log &
pid=$!
wait_until sh -c '[ "$(grep -c "" requests.log)" -ge 24 ]'
kill -9 $pid
wait $pid 2>/dev/null || true
asked=$(requests)
LLMCF_API_KEY=$KEY LLMCF="$LLMCF" test "$(ask killed --concurrency 32)" = 0 || fail "exit code: $(cat ask.log)"
made=$(jq .rows_generated summary.json)
[ $((asked + made)) -le $((rows + 8)) ] || fail "$asked asked before, $made after the kill, of $rows"
[ "$made" -lt "$rows" ] || fail "nothing was kept"
same_as_whole killed

say "SIGTERM: what is in flight is finished, 75; completions; the key of the environment"
serve slow
LLMCF_API_KEY=$KEY "$LLMCF" generate --dataset dataset --endpoint "http://127.0.0.1:$port/v1/completions" --model-name tiny \
    --api completions --template llama2 --share 0.1 --top-k 0 --out stopped 2>stopped.log &
pid=$!
wait_until test -s requests.log
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code = 75 ] || fail "SIGTERM: exit code $code: $(cat stopped.log)"
grep -v " key /v1/completions n=3 model=tiny top_k=None " requests.log && fail "a request is not as it should be"
[ "$("$LLMCF" store stats --cot stopped | jq .records)" = "$(requests)" ] || fail "an answer in flight was dropped"

say "refusals"
port=1
for options in "--model x" "--api poem" "--concurrency 0" "--retry-wait 0" "--api-key-file nowhere"; do
    # shellcheck disable=SC2086
    code=$(ask refusal $options)
    [ "$code" = 2 ] || [ "$options$code" = "--api-key-file nowhere1" ] || fail "$options: exit code $code"
done
printf 'two words\n' >bad-key
for url in ftp://host/v1 http://user:secret@host/v1 "not a url"; do
    test "$(exit_code "$LLMCF" generate --dataset dataset --endpoint "$url" --model-name m --out refusal)" = 2 || fail "$url was taken"
done
grep -qF secret log && fail "a password from a URL is in a message"
test "$(ask refusal --api-key-file bad-key)" = 2 || fail "a key of two words was taken"
grep -q "two words" ask.log && fail "a bad key is in a message"
echo ok
