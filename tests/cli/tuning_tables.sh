# offline/recgen/mix.sh and tuning.sh: a table by mixing ratio from tiny runs, ten generations before and after, and one file with every
# figure; the second time nothing is trained.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
scripts=$LCF_SOURCE_DIR/offline/recgen
"$LLMCF" tune $TUNE --steps 10 --context 512 --out base/base --quiet 2>>log
data="the data" # a blank in a name
mkdir -p "$data/instruct" "$data/mmlu/dev" "$data/mmlu/val"
for i in $(seq 60); do printf '{"instruction": "Say %d", "output": "It is %d."}\n' "$i" "$i"; done | jq -s . >"$data/instruct/alpaca_5000.json"
for i in 1 2 3 4 5; do echo "q$i,a,b,c,d,A"; done >"$data/mmlu/dev/cats_dev.csv"
echo 'q,a,b,c,d,A' >"$data/mmlu/val/cats_val.csv"

mix() { RATIOS="0 1" STEPS=2 BATCH=2 SHOWN=${1:-1} THREADS=1 bash "$scripts/mix.sh" "$LLMCF" base/base/recgen.gguf dataset "$data" mix; }
mix >table 2>>log || fail "mix: $(tail -3 log mix/log)"
[ "$(cut -d, -f1,2 mix/mix.csv | tail -n +2 | xargs)" = "before,- all,0 all,1 0.5 of it,1" ] || fail "cases: $(cat mix/mix.csv)"
awk -F, 'NF != 11 || NR > 1 && !($3 > 0 && $6 > 0 && $8 != "" && $9 == 1) { exit 1 }' mix/mix.csv || fail "figures: $(cat mix/mix.csv)"
[ "$(grep -c '^before:$' mix/generations.md)" = 10 ] && [ "$(grep -c '^after:$' mix/generations.md)" = 10 ] || fail "ten generations"
[ "$(exit_code mix 0.5)" = 2 ] && tail -1 log | grep -q 'SHOWN=0.5 must be one of RATIOS (0 1)' || fail "generations of no run: $(tail -1 log)"
cp mix/mix.csv whole.csv
RATIOS="0 none" SHOWN=0 THREADS=1 STEPS=2 BATCH=2 bash "$scripts/mix.sh" "$LLMCF" base/base/recgen.gguf dataset "$data" mix >>log 2>&1 && fail "rec=none"
cmp whole.csv mix/mix.csv || fail "a failed run left half of a table"
touch stamp
mix >again 2>>log
cmp table again || fail "a second run differs"
[ -z "$(find mix -newer stamp -name '*.gguf')" ] || fail "a second run trained"

say "one file and one page"
echo 'model,auc,choice_accuracy' >base/results.csv
echo 'base,0.5,' >>base/results.csv
cp mix/loss.svg base/loss.svg
mkdir tallrec
cp -r base/base tallrec/stage1
cp mix/loss.svg tallrec/loss.svg
printf 'system,train,test,k,seed,auc_published,auc_difference,auc\ntallrec,movie,movie,16,1,0.25,0.75,\n' >tallrec/tallrec.csv
printf 'system,train,test,k,runs,auc_published,auc_published_sd\ntallrec,movie,movie,16,1,0.25,-\n' >tallrec/summary.csv
printf 'name,value,unit,machine,commit,date\nllama_f32,7,tokens/s,m,c,d\n' >speed.csv
SHOWN=1 bash "$scripts/tuning.sh" "$LLMCF" base mix tallrec tuning speed.csv
for line in 'base,base,auc,0.5' 'tallrec,tallrec movie movie 16 1,auc_difference,0.75' 'tallrec-mean,tallrec movie movie 16,runs,1' \
    'speed,llama_f32,tokens/s,7' "mix,all 1,auc,$(awk -F, '$1 == "all" && $2 == 1 { print $3 }' mix/mix.csv)"; do
    grep -qxF "$line" tuning/results.csv || fail "no '$line' in $(cat tuning/results.csv)"
done
awk -F, 'NF != 4 || $4 == "" { exit 1 }' tuning/results.csv || fail "lines of four: $(cat tuning/results.csv)"
for figure in $(grep -o '([a-z-]*\.svg)' tuning/TUNING.md | tr -d '()'); do
    grep -q '<svg' "tuning/$figure" || fail "no figure $figure"
done

say "a base without its text is none"
mkdir -p broken/ml-latest-small/llm_movie_summaries_mixtral.csv
[ "$(exit_code bash "$scripts/base.sh" "$LLMCF" broken unmade)" != 0 ] || fail "a base was made of nothing"
tail -1 unmade/base.log | grep -q IsADirectoryError || fail "it went on: $(cat unmade/base.log)"
