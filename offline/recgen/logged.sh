# logged.sh, for the scripts here and in ../ilm to source: `logged COMMAND...` runs a step whose messages go to the file $log. Where it fails the
# last of them, with llmcf's own reason, go to stderr, too, and the script ends with the step's exit code.
logged() {
    local from=0 status=0
    [ ! -e "$log" ] || from=$(wc -c <"$log")
    "$@" 2>>"$log" || status=$?
    if [ "$status" != 0 ]; then
        echo "$(basename "$0"): ${1##*/} ${2-} failed with exit code $status; its last lines, of $log:" >&2
        tail -c "+$((from + 1))" "$log" | tail -n 5 >&2
        exit "$status"
    fi
}
