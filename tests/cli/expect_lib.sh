# For the tests that count their failures: fails, fail and expect.
fails=0
fail() { echo "FAILED: $*" >&2; fails=$((fails + 1)); }
# expect CODE TEXT COMMAND...: the exit code, and a text on stderr
expect() {
    local code=$1 text=$2 got
    shift 2
    "$@" >stdout 2>stderr
    got=$?
    [ $got -eq "$code" ] || fail "exit code $got, not $code, of: $*: $(tail -1 stderr)"
    grep -qF -- "$text" stderr || fail "no '$text' on stderr of: $*: $(cat stderr)"
}
