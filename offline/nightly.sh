#!/bin/sh
# The nightly run with an exit code that cron, systemd or a wrapper that sends mail can act on; make's own is 2 whatever failed.
#
#   offline/nightly.sh DATA=shop SRC=/srv/logs CONFIG=/srv/llmcf/shop.yaml [METRICS=/var/lib/node_exporter/llmcf.prom]
#
#   0   published, or nothing had changed
#   1   failed; the last lines name the step, its log is in WORK/logs/DATE
#   2   usage: an option or the configuration
#   3   the gate was not passed: `current` stays where it was
#   75  another night is still running, or a signal stopped this one: run it again
#   128 + n  a step was killed by signal n, such as 137 by the kernel for want of memory
cd "$(dirname "$0")/.." || exit 1
code=$(mktemp) || exit 1
trap 'rm -f "$code"' EXIT
make -f Makefile.pipeline "${LCF_NIGHT_TARGET:-nightly}" EXIT="$code" "$@"
status=$?
[ -s "$code" ] || exit $((status == 0 ? 0 : 1))
exit "$(cat "$code")"
