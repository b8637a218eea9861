#!/bin/bash
# llmcf serve as a service: who may ask what, deadlines, another user, and what it and systemd say to each other.
. "$LCF_SOURCE_DIR/tests/cli/serve_lib.sh"
token=a-token-of-at-least-16-bytes
printf '# for the tests\n\n%s\nanother-token-that-is-on-its-way-out\n' $token >tokens
rank='{"user_id": "u2", "candidates": ["i1", "i2"]}'

# ---- tokens, admin, deadlines ----
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --unix "$PWD/s" --threads 1 --token-file tokens --watch 0 >>log 2>&1 &
server=$!
started
auth=(-H "Authorization: Bearer $token")
for path in healthz v2/health/live v2/health/ready v2/models/din/ready; do
    [ "$(ask "$url/$path")" = 200 ] || fail "$path without a token"
done
for path in metrics v1/snapshot v2 nowhere; do
    [ "$(ask "$url/$path")" = 401 ] || fail "$path needs a token"
done
[ "$(ask -d "$rank" "$url/v1/rank")" = 401 ] || fail "rank without a token"
[ "$(ask -d "$rank" -H "Authorization: Bearer ${token}x" "$url/v1/rank")" = 401 ] || fail "rank with a wrong token"
[ "$(ask -d "$rank" -H "Authorization: Basic $token" "$url/v1/rank")" = 401 ] || fail "rank with another scheme"
[ "$(ask -d "$rank" "${auth[@]}" "$url/v1/rank")" = 200 ] || fail "rank with the token: $(cat answer)"
[ "$(ask -d "$rank" -H "Authorization: bearer another-token-that-is-on-its-way-out" "$url/v1/rank")" = 200 ] || fail "the old token"
curl -s -D - -o answer "$url/metrics" | grep -qi '^www-authenticate: Bearer' || fail "401 does not say what it wants"

[ "$(ask -d '' "${auth[@]}" "$url/v1/admin/reload")" = 403 ] || fail "admin over TCP"
admin() { ask --unix-socket s "${auth[@]}" -d "$2" "http://x/v1/admin/$1"; }
[ "$(ask --unix-socket s -d '' http://x/v1/admin/reload)" = 401 ] || fail "admin without a token"
publish --generation two
[ "$(admin reload '')" = 202 ] || fail "reload: $(cat answer)"
wait_for serves two || fail "two is not served"
[ "$(admin snapshot '{"generation": "one"}')" = 202 ] || fail "switch: $(cat answer)"
wait_for serves one || fail "one is not served"
ask "${auth[@]}" "$url/v1/snapshot" >/dev/null
jq -e '.pinned == "one" and .reloads == 2' answer >/dev/null || fail "$(cat answer)"
[ "$(admin snapshot '{"generation": "none"}')" = 404 ] || fail "a generation that is not there: $(cat answer)"
for bad in '{"generation": "../one"}' '{"generation": 1}' '{}' '{"generation": "one", "x": 1}' '{"generation": ""}' 'one'; do
    [ "$(admin snapshot "$bad")" = 400 ] || fail "switch by $bad: $(cat answer)"
done
[ "$(admin snapshot '{"generation": null}')" = 202 ] || fail "follow current: $(cat answer)"
wait_for serves two || fail "current is not followed again"
# one that is damaged is refused, and says why
publish --generation three
printf 'X' | dd of=snapshots/three/arms/din.lcf bs=1 seek=5000 conv=notrunc 2>/dev/null
[ "$(admin reload '')" = 202 ] || fail "reload"
refused() { ask "${auth[@]}" "$url/v1/snapshot" >/dev/null && jq -e '.refused | strings | contains("din.lcf")' answer >/dev/null; }
wait_for refused || fail "the reason of a refusal: $(cat answer)"
ask "${auth[@]}" "$url/metrics" >/dev/null
grep -q '^llmcf_reloads_refused_total{reason="checksum"} 1$' answer || fail "$(grep reloads answer)"

[ "$(ask -d "$rank" "${auth[@]}" -H 'X-Request-Timeout-Ms: 5000' "$url/v1/rank")" = 200 ] || fail "a deadline that is far"
for bad in 0 x -1 1.5 99999999; do
    [ "$(ask -d "$rank" "${auth[@]}" -H "X-Request-Timeout-Ms: $bad" "$url/v1/rank")" = 400 ] || fail "a deadline of $bad"
done
stop

printf 'short\n' >bad-tokens
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --token-file bad-tokens 2>err && fail "it starts with a bad token"
grep -q "line 1: a token is 16 to 256" err || fail "$(cat err)"
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --user nobody-of-this-name 2>err && fail "it starts as nobody"
grep -q "no user 'nobody-of-this-name'" err || fail "$(cat err)"
rm -rf snapshots && publish --generation one

# ---- another user ----
if [ "$(id -u)" = 0 ] && su -s /bin/sh -c "test -x '$LCF_BIN_DIR/llmcf-serve' && test -r '$PWD/snapshots/current/manifest.json'" nobody 2>/dev/null; then
    : >log
    "$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --unix "$PWD/s" --user nobody >>log 2>&1 &
    server=$!
    started
    [ "$(ask -d "$rank" "$url/v1/rank")" = 200 ] || fail "rank as nobody"
    [ "$(sed -n 's/^Uid:[[:space:]]*//p' /proc/$server/status)" = "$(id -u nobody | awk '{print $1"\t"$1"\t"$1"\t"$1}')" ] ||
        fail "it kept rights: $(grep -E '^[UG]id' /proc/$server/status)"
    [ "$(stat -c '%U %a' s)" = "nobody 660" ] || fail "the socket is of $(stat -c '%U %a' s)"
    publish --generation two
    wait_for serves two || fail "nobody cannot reload"
    stop
else
    echo "not root, or nobody cannot read this folder: --user is not tried" >&2
fi

# ---- the service manager ----
if ! "$LCF_BIN_DIR/llmcf-serve" --version >/dev/null || ! ldd "$LCF_BIN_DIR/llmcf-serve" | grep -q libsystemd; then
    echo "built without libsystemd: readiness and socket activation are not tried" >&2
    exit 0
fi
if command -v systemd-analyze >/dev/null; then
    build=$(dirname "$LCF_BIN_DIR")
    cp "$LCF_SOURCE_DIR/online/cmd/llmcf-serve.socket" .
    sed "s#^ExecStart=\"[^\"]*\"#ExecStart=\"$LCF_BIN_DIR/llmcf-serve\"#" "$build/online/cmd/llmcf-serve.service" >llmcf-serve.service
    systemd-analyze verify --man=no ./llmcf-serve.service ./llmcf-serve.socket 2>units || fail "the units: $(cat units)"
fi
: >log
/usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/service_manager.py" "$LCF_BIN_DIR/llmcf-serve" --snapshot snapshots 2>>log || fail "service manager"
echo ok
