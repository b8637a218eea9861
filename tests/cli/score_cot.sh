#!/bin/bash
# score-cot: finds what tells texts apart where there is something, and nothing where there is nothing.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"
good=("The user will highly likely enjoy it, a great match for the taste. The quality is excellent."
    "A strong fit: the album is loved and the user appreciates just that. It is certainly recommended.")
bad=("The user might not enjoy it, however good it may be. It lacks what is liked and could disappoint."
    "It may be weak, although some issues are small. The match is doubtful and possibly unlikely.")
prompt="The user loves great songs and enjoys good albums. The item is an excellent album, loved for its quality."
# lines REWARD_OF_GOOD REWARD_OF_BAD: 40 prompts, in each two texts of either kind
lines() {
    for i in $(seq 40); do
        jq -nc --arg p "$prompt $i" --arg a "${good[0]} $i" --arg b "${good[1]}" --arg c "${bad[0]}" --arg d "${bad[1]} $i" \
            --argjson x "$(($1))" --argjson y "$(($2))" \
            '{prompt: $p, item: "Album", cots: [{text: $c, reward: $y}, {text: $a, reward: $x}, {text: $b, reward: $x}, {text: $d, reward: $y}]}'
    done
}
lines 1 0 >clear.jsonl
expect 0 "40 prompts: 1.0000 of the pairs in order [1.0000, 1.0000]" "$LLMCF" score-cot --input clear.jsonl --splits 2 --json
jq -e '.accuracy_of_splits == 1 and .alone.polarity == 1 and .alone.markup == 0.5 and .texts == 160 and (.weights.hedges < 0)' stdout >/dev/null ||
    fail "clear: $(cat stdout)"
"$LLMCF" score-cot --input clear.jsonl --splits 2 --json 2>/dev/null | cmp - stdout || fail "not the same twice"
expect 0 "" "$LLMCF" score-cot --input clear.jsonl --splits 2 --weights weights.json
rounded() { jq -c '.features |= map_values(map_values(. * 1e9 | round))' "$1"; } # an exponential's last bit is the C library's
[ "$(rounded weights.json)" = "$(rounded "$LCF_SOURCE_DIR/schemas/examples/score_weights.json")" ] || fail "the example in schemas/ is not what is written"
lines 'i % 2' '1 - i % 2' >noise.jsonl # the reward has nothing to do with the text
expect 0 "" "$LLMCF" score-cot --input noise.jsonl --json
jq -e '.accuracy_of_splits > 0.3 and .accuracy_of_splits < 0.7' stdout >/dev/null || fail "noise: $(cat stdout)"
lines 0 0 >ties.jsonl
expect 1 "no two texts of a prompt differ" "$LLMCF" score-cot --input ties.jsonl
head -n 5 clear.jsonl >few.jsonl
expect 1 "5 prompts; at least 8" "$LLMCF" score-cot --input few.jsonl
{ head -n 8 clear.jsonl; echo '{"prompt": "x", "cots": [{"text": "a"}, {"text": "b"}]}'; } >lacking.jsonl
expect 1 "lacking.jsonl:9: 'reward'" "$LLMCF" score-cot --input lacking.jsonl
{ head -n 3 clear.jsonl; echo '{"prompt"'; } >torn.jsonl
expect 1 "torn.jsonl:4: " "$LLMCF" score-cot --input torn.jsonl
expect 2 "--input is needed" "$LLMCF" score-cot

real=${LCF_DATA:-}/cot/reason4rec_cot.jsonl
if [ -e "$real" ]; then
    head -n 900 "$real" >half.jsonl
    expect 0 "900 prompts" "$LLMCF" score-cot --input half.jsonl --splits 2 --json
    jq -e '.accuracy_of_splits > 0.59 and .interval[0] > 0.55 and .accuracy > .unfitted and .reasons["repeats itself"] > 50' stdout >/dev/null || fail "real rationales: $(cat stdout)"
fi
[ $fails -eq 0 ] && echo "ok"
exit $((fails > 0))
