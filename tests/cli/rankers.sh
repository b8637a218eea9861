# tests/bench/rankers.sh: a section per backbone, one for each control and one for all backbones; the second time nothing is trained.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
mkdir in
mv dataset in/
"$LCF_BIN_DIR/cot_fixture" in/dataset in/cot 3 forward
"$LLMCF" encode --dataset in/dataset --cot in/cot --dim 16 --bits 12 --out in/vectors 2>>log
"$LLMCF" index --dataset in/dataset --cot in/cot --vectors in/vectors --out in/examples 2>>log
"$LLMCF" retrieve --dataset in/dataset --vectors in/vectors --examples in/examples --out in/retrieved 2>>log
printf 'train: {epochs: 1}\n' >config.yaml
"$LLMCF" train --dataset in/dataset --config config.yaml --backbone mf --seeds 1,2 --out other 2>>log
table() {
    THREADS=2 BACKBONES="lr din" OTHERS=other CONTROLS="text knn" bash "$LCF_SOURCE_DIR/tests/bench/rankers.sh" "$LLMCF" in out config.yaml 1,2 ict 2>>log
}
table >table.md || fail "rankers: $(tail -3 log) $(tail -3 out/rankers.log)"
[ "$(awk -F, 'NR > 1 && $4 == "auc" { print $1 ":" $2 }' out/figures.csv | tr '\n' ' ')" = "lr:lr lr:lr-ict din:din din:din-ict din:din-text \
din:din-knn backbones:din backbones:other backbones:lr beside din-text:din-text beside din-text:din-ict beside din-text:din-knn beside din-knn:din-knn \
beside din-knn:din-ict beside din-knn:din-text " ] || fail "sections and systems: $(cat out/figures.csv)"
awk -F, 'NF != 9 { exit 1 }' out/figures.csv || fail "columns: $(cat out/figures.csv)"
awk -F, '$1 == "din" && $2 == "din-ict" && $4 == "auc" && $5 > 0 && $8 <= $7 && $7 <= $9 { found = 1 } END { exit !found }' out/figures.csv ||
    fail "no lift of ict within its interval: $(cat out/figures.csv)"
grep -q '^| lr-ict |' table.md || fail "the table lacks lr-ict: $(cat table.md)"
cp out/figures.csv first.csv
grep -c 'msg="epoch"' out/rankers.log >trained || true
table >/dev/null || fail "a second run: $(tail -3 log)"
cmp first.csv out/figures.csv || fail "a second run differs"
grep -c 'msg="epoch"' out/rankers.log | cmp - trained || fail "a second run trained"
