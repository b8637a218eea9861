#!/bin/bash
# llmcf codes: codes of a trained binmf or binlightgcn, counted and made once; refused for rankers that have none.
set -u
. "$LCF_SOURCE_DIR/tests/cli/expect_lib.sh"

"$LLMCF" simulate --users 150 --items 120 --out raw >/dev/null 2>&1 || fail "simulate"
"$LLMCF" prepare --input raw --out dataset >/dev/null 2>&1 || fail "prepare"
for backbone in binmf mf binlightgcn; do
    "$LLMCF" train --dataset dataset --backbone $backbone --seeds 1 --epochs 2 --out $backbone >/dev/null 2>&1 || fail "train $backbone"
done

expect 0 'codes of 32 bits' "$LLMCF" codes --dataset dataset --ranker binmf/best.lcf --out codes --json
jq -e '.bits == 32 and .users == 150 and .items == 120 and .distinct_users <= 150 and .distinct_users > 1 and .user_ones > 0.1 and
    .user_ones < 0.9 and (has("tokens") | not) and (.item_bit_entropy | length == 32 and all(. >= 0 and . <= 1)) and
    .item_entropy > 0 and .item_entropy <= (.distinct_items | log2) + 0.001' stdout >/dev/null || fail "counts: $(cat stdout)"
[ "$(ls codes | tr '\n' ' ')" = "codes.lcf manifest.json " ] || fail "files: $(ls codes)"
expect 0 'up to date' "$LLMCF" codes --dataset dataset --ranker binmf/best.lcf --out codes
expect 0 'dotted' "$LLMCF" codes --dataset dataset --ranker binmf/best.lcf --out counted \
    --tokenizer "$LCF_SOURCE_DIR/schemas/examples/recgen.gguf" --json
jq -e '.tokens.bits > .tokens.dotted' stdout >/dev/null || fail "tokens: $(cat stdout)"
cmp codes/codes.lcf counted/codes.lcf || fail "counting tokens changed the codes"

expect 0 'codes of 32 bits' "$LLMCF" codes --dataset dataset --ranker binlightgcn/best.lcf --out graph
cmp -s codes/codes.lcf graph/codes.lcf && fail "binlightgcn has the codes of binmf"

expect 1 'of the backbone mf has no codes' "$LLMCF" codes --dataset dataset --ranker mf/best.lcf --out x
expect 2 '--ranker' "$LLMCF" codes --dataset dataset --out x
# of another length; half soft in the second epoch
train="train --dataset dataset --backbone binmf --seeds 1 --epochs 2"
# shellcheck disable=SC2086
{
    expect 0 'best seed' "$LLMCF" $train --dim 16 --out hard
    expect 0 'best seed' "$LLMCF" $train --dim 16 --soft-epochs 2 --out soft
    cmp -s hard/best.lcf soft/best.lcf && fail "--soft-epochs changes nothing"
    expect 0 'codes of 16 bits' "$LLMCF" codes --dataset dataset --ranker soft/best.lcf --out short
    expect 0 'best seed' "$LLMCF" $train --dim 12 --code-scale 0.3 --out odd
    expect 1 'codes of 12 bits, which is no multiple of 8' "$LLMCF" codes --dataset dataset --ranker odd/best.lcf --out x
    expect 2 '--dim must be a multiple of 4' "$LLMCF" $train --dim 6 --out x
}

# chains of thought that are shown codes: other codes are another prompt
printf 'llmcf-prompt 1\nname: t\nversion: 1\n[explain]\n{{user_code}} {{target_code}}\n' >short.prompt
own=$LCF_SOURCE_DIR/offline/recgen/prompts/cot-codes.prompt
generate="--dataset dataset --model $LCF_SOURCE_DIR/schemas/examples/recgen.gguf --share 0.01 --rows 2 --candidates 1 --max-tokens 4 --code-form dotted"
# shellcheck disable=SC2086
{
    expect 0 '2 generated' "$LLMCF" generate $generate --prompt-template short.prompt --codes codes --out cot
    expect 0 'up to date' "$LLMCF" generate $generate --prompt-template short.prompt --codes codes --out cot
    expect 0 '0 present before, 2 generated' "$LLMCF" generate $generate --prompt-template short.prompt --codes graph --out cot
    expect 0 '2 present before, 0 generated' "$LLMCF" generate $generate --prompt-template short.prompt --codes codes --out cot
    expect 2 'codes are spoken of here, and none are given' "$LLMCF" generate $generate --prompt-template "$own" --out x
    expect 2 'codes are spoken of here' "$LLMCF" export-requests --dataset dataset --model-name m --prompt-template "$own" --out x
}
[ -e x ] && fail "a failed run left something"
exit $((fails > 0))
