#!/bin/bash
# schemas/openapi.json is what the server does: every path, method, code and body, and nothing that it does not name.
. "$LCF_SOURCE_DIR/tests/cli/serve_lib.sh"
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || { echo "python3-jsonschema is not installed" >&2; exit 77; }
echo a-token-of-at-least-16-bytes >tokens
"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --unix "$PWD/s" --threads 1 --queue 0 --max-body 60000 --linger 20 \
    --example-users --token-file tokens >>log 2>&1 &
server=$!
started
/usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/openapi.py" "$LCF_SOURCE_DIR/schemas/openapi.json" "$url" "$PWD/s" tokens $server \
    "$LCF_SOURCE_DIR/schemas/examples/rank_request.bin" 2>>log || fail "the document and the server differ"
wait $server || fail "SIGTERM ended it with an error"
echo ok
