# tests/bench/ablations.sh: a table of all rows from a tiny data set; the second time nothing is trained.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
mkdir in
mv dataset in/
"$LLMCF" tune ${TUNE/--dataset dataset/--dataset in\/dataset} --steps 5 --out in/recgen 2>>log
"$LCF_BIN_DIR/cot_fixture" in/dataset in/cot 3 forward
"$LLMCF" encode --dataset in/dataset --cot in/cot --dim 16 --bits 12 --out in/vectors 2>>log
"$LLMCF" index --dataset in/dataset --cot in/cot --vectors in/vectors --out in/examples 2>>log
printf 'train:\n  epochs: 1\n' >config.yaml
ablations() {
    THREADS=2 bash "$LCF_SOURCE_DIR/tests/bench/ablations.sh" "$LLMCF" in out config.yaml 1 2>>log
}
ablations >table.md || fail "ablations: $(tail -3 log) $(tail -3 out/ablations.log)"
rows=$(grep -c '^train ' "$LCF_SOURCE_DIR/tests/bench/ablations.sh")
[ "$(cut -d, -f2 out/figures.csv | sort -u | wc -l)" = $((rows + 2 + 1)) ] || fail "rows of the table: $(cat out/figures.csv)" # two without a ranker, and the head
awk -F, 'NF != 9 { exit 1 }' out/figures.csv || fail "columns: $(cat out/figures.csv)"
awk -F, '$2 == "ict" && $4 == "auc" && $5 > 0 && $8 <= $7 && $7 <= $9 { found = 1 } END { exit !found }' out/figures.csv ||
    fail "no lift of ict within its interval: $(cat out/figures.csv)"
grep -q '^ablations,ict,1,valid_auc,0' out/figures.csv || fail "no valid AUC of ict: $(cat out/figures.csv)"
grep -q '^| kar |' table.md || fail "the table lacks kar: $(cat table.md)"
cp out/figures.csv first.csv
grep -c 'msg="epoch"' out/ablations.log >trained || true
ablations >/dev/null || fail "a second run: $(tail -3 log)"
cmp first.csv out/figures.csv || fail "a second run differs"
grep -c 'msg="epoch"' out/ablations.log | cmp - trained || fail "a second run trained"
