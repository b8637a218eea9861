# tests/bench/next_item.sh: the table of next-item models from a tiny data set; the second time nothing is trained.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
mkdir in
mv dataset in/
"$LCF_BIN_DIR/cot_fixture" in/dataset in/cot 3 forward
"$LLMCF" encode --dataset in/dataset --cot in/cot --dim 16 --bits 12 --out in/vectors 2>>log
"$LLMCF" index --dataset in/dataset --cot in/cot --vectors in/vectors --out in/examples 2>>log
printf 'train-next: {epochs: 1, dim: 8, hidden: 8, negatives: 8}\n' >config.yaml
table() {
    THREADS=2 MODELS="sasrec gru4rec sasrec-bce" bash "$LCF_SOURCE_DIR/tests/bench/next_item.sh" "$LLMCF" in out config.yaml 1,2 2>>log
}
table >table.md || fail "next_item: $(tail -3 log) $(tail -3 out/next_item.log)"
[ "$(cut -d, -f2 out/figures.csv | uniq | tr '\n' ' ')" = "system sasrec gru4rec sasrec-bce sasrec-ict gru4rec-ict sasrec-bce-ict " ] ||
    fail "rows of the table: $(cat out/figures.csv)"
awk -F, 'NF != 9 { exit 1 }' out/figures.csv || fail "columns: $(cat out/figures.csv)"
for measure in hr@10 ndcg@10; do
    awk -F, -v measure=$measure '$2 == "sasrec-ict" && $4 == measure && $8 <= $7 && $7 <= $9 { found = 1 } END { exit !found }' out/figures.csv ||
        fail "no lift of ict within its interval: $(cat out/figures.csv)"
done
grep -q '^| gru4rec-ict |' table.md || fail "the table lacks gru4rec-ict: $(cat table.md)"
cp out/figures.csv first.csv
grep -c 'msg="epoch"' out/next_item.log >trained || true
table >/dev/null || fail "a second run: $(tail -3 log)"
cmp first.csv out/figures.csv || fail "a second run differs"
grep -c 'msg="epoch"' out/next_item.log | cmp - trained || fail "a second run trained"
