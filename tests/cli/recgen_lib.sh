# For the tests of tune and generate: a small simulated dataset in ./dataset and quick options.
set -eu
. "$LCF_SOURCE_DIR/tests/cli/wait_lib.sh"
say() { echo "== $*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# exit_code COMMAND...: runs it and prints how it ended.
exit_code() {
    "$@" >>log 2>&1 && echo 0 || echo $?
}

"$LLMCF" simulate --out raw --users 60 --items 40 --days 30 --quiet
"$LLMCF" prepare --input raw --out dataset --quiet
TUNE="--dataset dataset --dim 32 --layers 2 --vocab 600 --steps 40 --batch 4 --eval-rows 40
      --checkpoint-every 5 --threads 1"
