# Shards, ranks and budgets: parts of the job, done anywhere and in any order, are the job.
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
"$LLMCF" tune $TUNE --out recgen --steps 5 2>>log
JOB="--dataset dataset --model recgen/recgen.gguf --share 0.2 --max-tokens 40 --threads 1"
# generate OPTION...: the summary in summary.json
generate() { "$LLMCF" generate $JOB --json "$@" >summary.json 2>run.log || fail "exit code $?: $(cat run.log)"; }
digest() { "$LLMCF" store stats --cot "$1" | jq -r .digest; }
check() { jq -e "$1" summary.json >/dev/null || fail "not $1: $(cat summary.json)"; }
generate --out whole
rows=$(jq .rows_chosen summary.json)
whole=$(digest whole)

say "shards: a partition, and the same records"
total=0
for i in 1 2 3; do
    generate --shard $i/3 --out part-$i
    total=$((total + $(jq .rows_generated summary.json)))
    [ "$(jq .rows_generated summary.json)" -gt 0 ] || fail "shard $i is empty"
done
[ $total = "$rows" ] || fail "$total rows in shards of $rows"
"$LLMCF" store merge part-3 part-1 part-2 --cot merged 2>merge.log
grep -q "$rows records added, 0 were there" merge.log || fail "merge: $(cat merge.log)"
[ "$(digest merged)" = "$whole" ] || fail "the merged store is not that of one run"
"$LLMCF" merge part-1 part-2 --cot merged 2>merge.log # the same by its other name
grep -q "^0 records added" merge.log || fail "a second merge: $(cat merge.log)"
generate --out merged
check ".rows_present == $rows and .rows_generated == 0"
generate --shard 2/3 --out part-2
check ".current"
generate --shard 1/1 --out single
[ "$(digest single)" = "$whole" ] || fail "shard 1/1"

say "what was left to another store is made when it is not left to it"
generate --skip-in merged --out beside
check ".rows_present == $rows and .rows_generated == 0"
generate --out beside
check ".rows_generated == $rows"

say "a conflict is named, stays, and fails the merge"
"$LLMCF" store export --cot part-1 2>>log | sed 's/"text":"/"text":"Another: /' | head -n 2 >changed.jsonl
"$LLMCF" store import changed.jsonl --cot changed 2>>log
test "$(exit_code "$LLMCF" store merge changed part-2 --cot merged)" = 1 || fail "a conflict"
grep -q "2 records are there with another content" log || fail "the conflict is not told"
[ "$(digest merged)" = "$whole" ] || fail "a conflict changed the store"

say "ranks take shards by themselves, and what is merged is not made again"
for rank in 0 1; do
    OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=2 "$LLMCF" generate $JOB --out ranked 2>rank-$rank.log &
    eval "rank_$rank=\$!"
done
wait "$rank_0" && wait "$rank_1" || fail "a rank: $(cat rank-0.log rank-1.log)"
grep -q "rank 1 of 2 by Open MPI writes to ranked/shard-2-of-2" rank-1.log || fail "rank: $(cat rank-1.log)"
"$LLMCF" store merge ranked/shard-*-of-2 --cot ranked 2>>log
[ "$(digest ranked)" = "$whole" ] || fail "the ranks' store is not that of one run"
OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 "$LLMCF" generate $JOB --out killed 2>rank-0.log &
rank_0=$!
OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 "$LLMCF" generate $JOB --out killed 2>rank-1.log &
rank_1=$!
wait_until grep -q "generate rows" rank-1.log || true # at work
sleep 0.1
kill -9 $rank_1 2>/dev/null || true
wait $rank_1 2>/dev/null || true
wait $rank_0 || fail "a rank beside one that was killed: $(cat rank-0.log)"
OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 generate --out killed
check ".current or .rows_present + .rows_generated == .rows_chosen"
"$LLMCF" store merge killed/shard-*-of-2 --cot killed 2>>log
[ "$(digest killed)" = "$whole" ] || fail "after a rank was killed the store is not that of one run"
SLURM_PROCID=1 SLURM_NTASKS=3 SLURM_STEP_ID=0 generate --share 0.25 --out ranked
check ".rows_present > 0 and .rows_generated > 0 and .rows_present + .rows_generated == .rows_chosen"
[ -e ranked/shard-2-of-3/data.mdb ] || fail "no folder of the rank"
SLURM_PROCID=0 SLURM_NTASKS=3 generate --out batch-script # one process of a job that may have three
check ".rows_chosen == $rows"
PMI_RANK=0 PMI_SIZE=2 generate --shard 1/1 --out explicit
check ".rows_chosen == $rows"
test "$(PMI_RANK=2 PMI_SIZE=2 exit_code "$LLMCF" generate $JOB --out x)" = 2 || fail "rank 2 of 2"
test "$(PMI_RANK=0 exit_code "$LLMCF" generate $JOB --out x)" = 2 || fail "a rank without their number"
if command -v mpirun >/dev/null; then
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_plm_rsh_agent=/bin/false mpirun --allow-run-as-root --oversubscribe -n 2 \
        "$LLMCF" generate $JOB --out mpi >mpirun.log 2>&1 || fail "mpirun: $(cat mpirun.log)"
    "$LLMCF" store merge mpi/shard-*-of-2 --cot mpi 2>>log
    [ "$(digest mpi)" = "$whole" ] || fail "mpirun: the store is not that of one run"
fi

say "budgets: a good end, a count of what is left, and the rest the next time"
generate --max-rows 13 --out budget
check ".rows_generated == 13 and .rows_left == $rows - 13 and .budget == \"max-rows\""
[ -e budget/manifest.json ] && fail "a manifest of half a store"
grep -q "max-rows is reached: $((rows - 13)) rows are left" run.log || fail "what is left: $(cat run.log)"
generate --max-total-tokens 2000 --out budget
check '.budget == "max-total-tokens" and .rows_present == 13 and .tokens_generated >= 2000 and .tokens_generated < 4000'
generate --min-free-disk 9999T --out budget
check '.budget == "min-free-disk" and .rows_generated == 0 and .rows_left > 0'
generate --max-rows 1000000 --max-total-tokens 1000000000 --min-free-disk 1K --deadline "$(date -d '-2 minutes' +%H:%M)" --out budget
check ".budget == null and .rows_left == 0 and .rows_present + .rows_generated == $rows"
[ "$(digest budget)" = "$whole" ] || fail "the store of several nights is not that of one"
generate --max-rows 5 --out budget
check ".current"

say "refusals"
for options in "--shard 0/2" "--shard 3/2" "--shard 2" "--shard x/y" "--deadline 25:00" "--deadline noon" "--min-free-disk 5X" "--max-rows 0"; do
    # shellcheck disable=SC2086
    test "$(exit_code "$LLMCF" generate $JOB --out x $options)" = 2 || fail "$options was taken"
done
for options in "part-1" "--cot merged" "part-1 --cot merged --model x.gguf"; do
    # shellcheck disable=SC2086
    test "$(exit_code "$LLMCF" merge $options)" = 2 || fail "merge $options was taken"
done
echo ok
