#!/bin/sh
# man.sh PROGRAM NAME VERSION: a manual page on stdout, made of what `PROGRAM --help` says. The build calls it for every program.
set -e
help=$(ARGP_HELP_FMT=rmargin=100 "$1" --help)
name=$2
roff() { sed -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" -e 's/-/\\-/g'; }
# the one line that says what it is: the first that is neither usage nor empty
summary=$(printf '%s\n' "$help" | sed -e '/^Usage:/d' -e '/^$/d' | head -1 | roff)
printf '.\\" Made from what %s --help says.\n.TH %s 1 "" "llmcf %s" "User commands"\n' "$name" "$(printf %s "$name" | tr a-z A-Z)" "$3"
printf '.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n' "$(printf %s "$name" | roff)" "$summary"
printf '%s\n' "$help" | sed -n 's/^Usage: //p' | roff
printf '.SH DESCRIPTION\n.nf\n'
printf '%s\n' "$help" | sed -e '/^Usage:/d' | roff
printf '.fi\n.SH SEE ALSO\n'
[ "$name" = llmcf ] || printf '.BR llmcf (1),\n'
printf '.BR llmcf (3)\n'
