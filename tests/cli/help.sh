#!/bin/bash
# The help of every verb that `llmcf --help` lists ends with examples that can be copied: no line of them is broken by the width of
# the help, a long command has its line ends escaped.
set -u
fails=0
fail() { echo "FAILED: $*" >&2; fails=$((fails + 1)); }
verbs=$("$LLMCF" --help | sed -n 's/^  \([a-z-]*\)  .*/\1/p')
[ "$(wc -w <<<"$verbs")" -ge 14 ] || fail "only these verbs: $verbs"
for verb in $verbs; do
    case $verb in rank | serve) continue ;; esac # programs of their own
    "$LLMCF" $verb --help >help || fail "$verb --help ends with $?"
    sed -n '/^Examples\{0,1\}:/,$p' help | sed 1d >examples
    grep -q '^  ' examples || fail "$verb --help has no example"
    grep -vE '^  |^$|^Report bugs' examples >broken && fail "$verb --help: an example is broken into: $(head -1 broken)"
done
exit $((fails > 0))
