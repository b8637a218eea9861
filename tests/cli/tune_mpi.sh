# mpirun -n 2 makes the steps that one process with twice the accumulation makes; only the first process writes; a killed job goes
# on; a dead process ends the job.
[ -e "$LCF_BIN_DIR/llmcf-mpi.so" ] && command -v mpirun >/dev/null || exit 77
# What MPI itself never frees is not ours to report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpi() { # N COMMAND...
    local n=$1
    shift
    mpirun --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none -n "$n" "$@"
}
mpi 1 true 2>/dev/null || exit 77 # an MPI that cannot start here
. "$LCF_SOURCE_DIR/tests/cli/recgen_lib.sh"
MPI="$TUNE --steps 8 --batch 2 --threads 1"

say "two processes, and one with twice the accumulation: the same bytes"
mpi 2 "$LLMCF" tune $MPI --accumulate 1 --out two --json >two.json 2>>log
"$LLMCF" tune $MPI --accumulate 2 --out one --json >one.json 2>>log
jq -e '.steps == 8' two.json >/dev/null || fail "one summary, by the first process"
cmp one/recgen.gguf two/recgen.gguf
cmp one/report.json two/report.json
[ ! -e two.work ] || fail "the work folder is left over"

say "four groups: the same loss to rounding"
mpi 2 "$LLMCF" tune $MPI --accumulate 2 --out two4 2>>log
"$LLMCF" tune $MPI --accumulate 4 --out one4 2>>log
jq -e -n --slurpfile a one4/report.json --slurpfile b two4/report.json \
    '[$a[0].loss, $b[0].loss] | transpose | all(.[0].step == .[1].step and (.[0].loss - .[1].loss | fabs) < 1e-5)' \
    >/dev/null || fail "the loss curves differ"

say "LoRA, bf16"
mpi 2 "$LLMCF" tune $MPI --model one/recgen.gguf --lora-rank 2 --precision bf16 --out lora2 2>>log
"$LLMCF" tune $MPI --model one/recgen.gguf --lora-rank 2 --precision bf16 --accumulate 2 --out lora1 2>>log
cmp lora1/adapter.gguf lora2/adapter.gguf

say "a job that was killed goes on, in as many processes as it likes: the same bytes"
LONG="$MPI --steps 24 --checkpoint-every 2"
"$LLMCF" tune $LONG --accumulate 2 --out whole 2>>log
mpirun --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none -n 2 "$LLMCF" tune $LONG --out parts 2>>log &
job=$!
until [ -e parts.work/checkpoint.lcf ] || [ -e parts ]; do sleep 0.02; done
kill -9 $(pgrep -P $job) 2>/dev/null || true
wait $job 2>/dev/null || true
[ ! -e parts ] || fail "the job was not killed: too few steps for this machine"
cp -r parts.work alone.work
mpi 2 "$LLMCF" tune $LONG --out parts 2>>log
"$LLMCF" tune $LONG --accumulate 2 --out alone 2>>log
cmp whole/recgen.gguf alone/recgen.gguf
cmp whole/recgen.gguf parts/recgen.gguf
cmp whole/report.json parts/report.json

say "a process that fails ends the job, and the checkpoint stands"
code=0
mpi 2 "$LLMCF" tune $MPI --out bad --optimizer sgd --lr 10 --clip 0 --momentum 0.99 --steps 200 2>err || code=$?
[ $code != 0 ] || fail "a diverged job succeeded"
grep -q "the checkpoint in .* stands" err || fail "no reason: $(cat err)"
code=0
timeout 60 mpirun --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none \
    -n 1 "$LLMCF" tune $MPI --steps 100000 --out dead : -n 1 sh -c 'sleep 1; kill -9 $$' 2>err || code=$?
[ $code != 0 ] && [ $code != 124 ] || fail "a job with a dead process went on (exit code $code)"
