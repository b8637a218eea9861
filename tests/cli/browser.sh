#!/bin/bash
# The pages in a real browser, started headless: nothing leaves its chart, nothing covers anything, light and dark and paper have
# the colours they should, and nothing is asked of the network.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "there is no chromium: the pages are not looked at (make -f Makefile.pipeline deps-browser installs it)" >&2
    exit 77
}
fixture=$LCF_BIN_DIR/eval_fixture
long="a-ranker-with-a-name-that-is-longer-than-any-chart-has-room-for-and-then-some-more"
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

# chrome OPTION...: the profile lives and dies with the test
chrome() {
    timeout 60 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
        --disable-background-networking --disable-component-update --user-data-dir="$PWD/profile" "$@" 2>chrome.log
}

# probe PAGE NAME WIDTH...: nothing is fetched, nothing is covered or cut
probe() {
    local page=$PWD/$1 name=$2 width title
    shift 2
    grep -qE '(src|href)="?(https?:)?//|url\(|@import|<script' "$page" && fail "$name asks something of the network or runs a script"
    cat "$page" "$LCF_SOURCE_DIR/tests/cli/browser_probe.html" >probe.html
    for width in "$@"; do
        title=$(chrome --window-size=$width,2000 --dump-dom "file://$PWD/probe.html" | grep -o -m 1 '<title>probe: [^<]*')
        [[ $title == "<title>probe: all is well ("*" charts)" ]] || fail "$name at a width of $width: ${title:-no answer: $(tail -1 chrome.log)}"
    done
}

# colours PAGE NAME: light, dark, and paper in dark mode
colours() {
    local page=$PWD/$1 name=$2
    chrome --window-size=1100,900 --screenshot="$PWD/light.png" "file://$page" >/dev/null
    chrome --window-size=1100,900 --blink-settings=preferredColorScheme=0 --screenshot="$PWD/dark.png" "file://$page" >/dev/null
    # the first pixel is the page; of all pixels some are ink
    /usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/png_look.py" light.png ffffff 1b1f24 || fail "$name in light"
    /usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/png_look.py" dark.png 14171a e6e9ec || fail "$name in dark"
    chrome --blink-settings=preferredColorScheme=0 --no-pdf-header-footer --print-to-pdf="$PWD/page.pdf" "file://$page" >/dev/null
    [ "$(head -c 5 page.pdf)" = %PDF- ] || fail "$name does not print"
    if command -v pdftoppm >/dev/null; then
        pdftoppm -r 50 -l 1 -png page.pdf paper && /usr/bin/python3 "$LCF_SOURCE_DIR/tests/cli/png_look.py" paper-*.png ffffff 000000 ||
            fail "$name is not black on white on paper"
        rm -f paper-*.png
    fi
}

"$LLMCF" simulate --users 120 --out raw --quiet && "$LLMCF" prepare --input raw --out dataset --quiet || fail "no dataset"
"$fixture" better din "$long" dataset || fail "no arms"
awk -F'\t' 'NR == 1 { print "user_id\tshelf" } NR > 1 && !seen[$1]++ { print $1 "\t" (n++ % 2 ? "昨日の棚にあった長い名前の商品、とても長い、もっと長い" : "a shelf whose name does not stop where the plot begins") }' raw/interactions.tsv >shelves.tsv
for k in 1 2 3; do echo "{\"results\":[{}],\"timings\":{\"retrieve_ms\":0.$k,\"score_ms\":1,\"total_ms\":1.$k}}"; done >answers.jsonl
cp "$LCF_SOURCE_DIR/schemas/examples/train_report.json" din/report.json
printf '{"files":{},"format":1,"id":"%064d","identity":{"inputs":{},"parameters":{},"verb":"train","version":"0"},"stats":{}}' 7 >din/manifest.json
"$LLMCF" evaluate --a din --b "$long" --dataset dataset --slice-by shelves.tsv:shelf --latency B=answers.jsonl --out report \
    --replicates 100 --permutations 0 --require 'auc_lift_low > 0' --quiet || fail "no report"
"$LLMCF" compare --baseline din "$long" --out compare --replicates 100 --quiet || fail "no comparison"
probe report/report.html "the report" 1100 500
colours report/report.html "the report"
probe compare/compare.html "the comparison" 1100
"$LLMCF" ope --log raw --target popular --out ope --quiet >/dev/null || fail "no counterfactual evaluation"
probe ope/ope.html "the counterfactual evaluation" 1100

# the probe itself can tell: a text that covers another and one that leaves its chart
cat >bad.html <<'HTML'
<!DOCTYPE html><title>x</title><svg width="100" height="50"><text x="0" y="20">covered</text><text x="5" y="22">covering</text>
<text x="80" y="40">leaving the chart</text></svg><nav><a href="#nowhere">lost</a></nav>
HTML
cat bad.html "$LCF_SOURCE_DIR/tests/cli/browser_probe.html" >probe.html
title=$(chrome --dump-dom "file://$PWD/probe.html" | grep -o -m 1 '<title>probe: [^<]*')
for want in '"covering" covers "covered"' '"leaving the chart" leaves its chart' '"lost" leads nowhere'; do
    [[ $title == *"$want"* ]] || fail "the probe does not see: $want ($title)"
done
[ $fails -eq 0 ] || { echo "$fails failures" >&2; exit 1; }
