# Waiting in tests: for what has happened, never for a time. The limits are far beyond what a slow, busy machine needs; whoever
# runs into one goes on, and the test says what is missing.

# wait_until COMMAND...: until it succeeds, at most 60 s
wait_until() {
    local i
    for i in $(seq 1200); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

# until_stoppable PID: until the program in the background handles SIGTERM (signal 15, bit 14 of the mask), or has ended
until_stoppable() {
    handles_sigterm() {
        local caught
        case $(readlink "/proc/$1/exe") in */bash) return 1 ;; esac # not yet the program
        caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
        [ -z "$caught" ] || [ $((0x$caught >> 14 & 1)) = 1 ]
    }
    wait_until handles_sigterm "$1"
}
