# tests/bench/next_item.sh: the table of next-item models from a tiny data set; the second time nothing is trained.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
mkdir in
mv dataset in/
"$LCF_BIN_DIR/cot_fixture" in/dataset in/cot 3 forward
"$LLMCF" encode --dataset in/dataset --cot in/cot --dim 16 --bits 12 --out in/vectors 2>>log
"$LLMCF" index --dataset in/dataset --cot in/cot --vectors in/vectors --out in/examples 2>>log
printf 'train-next: {epochs: 1, dim: 8, hidden: 8, negatives: 8}\n' >config.yaml
table() {
    THREADS=2 MODELS="sasrec gru4rec" bash "$LCF_SOURCE_DIR/tests/bench/next_item.sh" "$LLMCF" in out config.yaml 1,2 2>>log
}
table >table.md || fail "next_item: $(tail -3 log) $(tail -3 out/next_item.log)"
[ "$(cut -d, -f1 out/next_item.csv | tr '\n' ' ')" = "row sasrec gru4rec sasrec-ict gru4rec-ict sasrec-bce sasrec-full " ] ||
    fail "rows of the table: $(cat out/next_item.csv)"
awk -F, 'NF != 13 { exit 1 }' out/next_item.csv || fail "columns: $(cat out/next_item.csv)"
awk -F, '$1 == "sasrec-ict" && $9 <= $8 && $8 <= $10 && $12 <= $11 && $11 <= $13 { found = 1 } END { exit !found }' out/next_item.csv ||
    fail "no lift of ict within its interval: $(cat out/next_item.csv)"
grep -q '^| gru4rec-ict |' table.md || fail "the table lacks gru4rec-ict: $(cat table.md)"
cp out/next_item.csv first.csv
grep -c 'msg="epoch"' out/next_item.log >trained || true
table >/dev/null || fail "a second run: $(tail -3 log)"
cmp first.csv out/next_item.csv || fail "a second run differs"
grep -c 'msg="epoch"' out/next_item.log | cmp - trained || fail "a second run trained"
