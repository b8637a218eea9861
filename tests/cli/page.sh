#!/bin/bash
# The page for people that llmcf serve has at "/", in a real browser: what it shows is what the server says, keys are enough,
# titles are text, light and dark have the colours they should.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "there is no chromium: the page is not looked at (make -f Makefile.pipeline deps-browser installs it)" >&2
    exit 77
}
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
run() { "$@" >out 2>err || { echo "FAILED: $*: $(tail -3 err)" >&2; exit 1; }; }

# A small shop, in which every seventh title would like to be more than a text.
run "$LLMCF" simulate --users 120 --items 150 --requests 12 --out raw --quiet
awk -F'\t' -v OFS='\t' 'NR % 7 == 2 { $2 = "<script>document.title=\"mine\"</script><img src=x onerror=alert(1)> & \"Q\" " $2 } { print }' \
    raw/items.tsv >items.tsv && mv items.tsv raw/items.tsv
run "$LLMCF" prepare --input raw --out dataset --quiet
run "$LCF_BIN_DIR/cot_fixture" dataset cot 3 forward
run "$LLMCF" encode --dataset dataset --cot cot --dim 64 --bits 14 --out vectors --quiet
run "$LLMCF" index --dataset dataset --cot cot --vectors vectors --out examples --quiet
run "$LLMCF" retrieve --dataset dataset --vectors vectors --examples examples --out retrieved --quiet
inputs=(--dataset dataset --vectors vectors --examples examples)
for side in none ict; do
    run "$LLMCF" train --backbone din --side $side "${inputs[@]}" --retrieved retrieved --seeds 1 --threads 1 --epochs 1 \
        --out ranker-$side --quiet
done
run "$LLMCF" publish "${inputs[@]}" --cot cot --arm din=ranker-none/best.lcf --arm din-ict=ranker-ict/best.lcf --root snapshots --quiet

"$LLMCF" serve --snapshot snapshots --listen 127.0.0.1:0 --threads 1 --example-users 2>log &
server=$!
trap 'kill $server 2>/dev/null' EXIT
for _ in $(seq 300); do
    url=$(sed -n 's/.*listening on \(http:[^" ]*\).*/\1/p' log)
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { echo "FAILED: it does not say where it listens: $(cat log)" >&2; exit 1; }
timeout 200 /usr/bin/python3 -B "$LCF_SOURCE_DIR/tests/cli/page.py" "$browser" "$url/" || fail "the page"
/usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/png_look.py" light.png ffffff 1b1f24 || fail "the page in light"
/usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/png_look.py" dark.png 14171a e6e9ec || fail "the page in dark"
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
