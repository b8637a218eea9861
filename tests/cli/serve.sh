# llmcf serve: life of the process. What it answers in detail is in tests/unit/server.
. "$LCF_SOURCE_DIR/tests/cli/serve_lib.sh"
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --unix "$PWD/s" --threads 2 --max-body 2000 \
    --request-log requests.jsonl --log-bytes 6000 >>log 2>&1 &
server=$!
started

[ "$(ask "$url/healthz")" = 200 ] || fail healthz
[ "$(ask -d '{"user_id": "u2", "candidates": ["i1", "i2"]}' "$url/v1/rank")" = 200 ] || fail rank
jq -e '.generation == "one" and (.results | length) == 2' answer >/dev/null || fail "$(cat answer)"
[ "$(ask --unix-socket s -d '{"candidates": ["i1"]}' http://x/v1/rank)" = 200 ] || fail "unix socket"
[ "$(ask -d '{"user_id": "nobody", "candidates": ["nothing"]}' "$url/v1/rank")" = 200 ] || fail "unknown user"
jq -e '.degraded == "unknown_user" and .results[0].degraded == "unknown_item"' answer >/dev/null || fail "$(cat answer)"
[ "$(ask -d '{"candidates": "i1"}' "$url/v1/rank")" = 400 ] || fail malformed
jq -e '.error.reason | contains("candidates")' answer >/dev/null || fail "$(cat answer)"
head -c 3000 /dev/zero | tr '\0' ' ' >large
[ "$(ask --data-binary @large "$url/v1/rank")" = 413 ] || fail "too large"
[ "$(ask "$url/v1/rank")" = 405 ] || fail "wrong method"
[ "$(ask "$url/nothing")" = 404 ] || fail "unknown path"
[ "$(ask "$url/metrics")" = 200 ] && grep -q '^llmcf_http_requests_total{code="400"} 1$' answer || fail metrics
/usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/check_metrics.py" answer || fail "the metrics are not as Prometheus wants them"
for stage in queue parse retrieve ict backbone serialise; do
    grep -q "^llmcf_stage_duration_seconds_count{stage=\"$stage\"} 3$" answer || fail "no stage $stage: $(grep stage answer)"
done
for reason in bad_request too_large method_not_allowed not_found; do
    grep -q "^llmcf_rejected_total{reason=\"$reason\"} 1$" answer || fail "rejections by $reason: $(grep rejected answer)"
done

# The library, the program and the server say the same.
echo '{"user_id": "u3", "candidates": ["i4", "i5", "i6"]}' >request.json
ask -d @request.json "$url/v1/rank" >/dev/null
"$LLMCF" rank --snapshot snapshots --request request.json | jq -c .results >program
jq -c .results answer | cmp - program || fail "server and program differ"

# Every answer has an id, under which the request log keeps what was asked and shown; with clicks behind it, ope reads it. The files
# turn over; no line is torn.
for u in $(seq 40); do
    id=$(curl -s -D - -o answer -d "{\"user_id\": \"u$u\", \"candidates\": [\"i4\", \"i5\", \"i6\"], \"arm\": \"din\"}" "$url/v1/rank" |
        tr -d '\r' | sed -n 's/^X-Request-Id: //p')
    [ $((u % 3)) = 0 ] || jq -c --arg id "$id" '{kind: "click", request_id: $id, item_id: .results[0].item_id}' answer >>clicks.jsonl
done
cat requests.jsonl* >requests
[ -e requests.jsonl.1 ] && [ "$(wc -c <requests.jsonl)" -le 6000 ] || fail "the request log does not turn over"
jq -es 'map(select(.arm == "din")) | length == 40 and ([.[].request_id] | unique | length) == 40 and
    all(.[]; (.candidates | length) == 3 and .candidates[0].position == 1 and .candidates[0].propensity == 1 and
        .candidates[0].score >= .candidates[2].score)' requests >/dev/null || fail "the request log: $(head -1 requests)"
jq -c 'select(.arm == "din")' requests | cat - clicks.jsonl >logged.jsonl
echo '{"kind": "click", "request_id": "of a request that was not kept", "item_id": "i4"}' >>logged.jsonl
"$LLMCF" ope --log logged.jsonl --target logging --json --replicates 100 >ope.json 2>ope.log || fail "ope on the request log: $(cat ope.log)"
grep -q '1 clicks are on requests' ope.log || fail "a lost click is not told: $(cat ope.log)"
grep -q '"value": 0.2' ope.json || fail "27 of 120 shown were clicked: $(head -c 400 ope.json)"

# A new current is served without being told; a damaged one never is.
publish --generation two
wait_for serves two || fail "two is not served"
publish --generation three
cp -r snapshots/three snapshots/damaged
printf 'X' | dd of=snapshots/damaged/arms/din.lcf bs=1 seek=5000 conv=notrunc 2>/dev/null
ln -s damaged snapshots/next && mv -T snapshots/next snapshots/current
wait_for grep -q "snapshot refused, the old one keeps serving" log || fail "a damaged snapshot was not refused"
serves damaged && fail "a damaged snapshot is served"
[ "$(ask -d @request.json "$url/v1/rank")" = 200 ] || fail "rank after a refused snapshot"
kill -HUP $server # tries it again, on request
refused_twice() { [ "$(grep -c 'snapshot refused' log)" = 2 ]; }
wait_for refused_twice || fail "SIGHUP did not try again"
ln -s one snapshots/next && mv -T snapshots/next snapshots/current
wait_for serves one || fail "a roll back is not served"

# What a server has open is not retired, whatever is current; once it has moved on, it is.
let_go_of_two() { ! ls -l /proc/$server/fd | grep -q snapshots/two; } # served no more, but closed in the background
wait_for let_go_of_two || fail "two is in use for ever"
kill -STOP $server
publish --generation newest --keep 0
[ -d snapshots/one ] && [ ! -e snapshots/two ] || fail "retired under the server, or not at all: $(ls snapshots)"
kill -CONT $server
wait_for serves newest || fail "the newest is not served"
retired() { "$LLMCF" retire --root snapshots --keep 0 2>err && [ ! -e snapshots/one ]; }
wait_for retired || fail "one is in use for ever: $(cat err)"

stop
[ ! -e s ] || fail "its socket is left"
"$LLMCF" serve --snapshot nowhere --listen 127.0.0.1:0 2>err && fail "it starts without a snapshot"
grep -q "publish one first" err || fail "$(cat err)"
"$LLMCF" serve --threads none 2>err
[ $? = 2 ] || fail "usage"
echo ok
