/*
 * What every program of the project does alike: start-up, GNU options through argp, --config,
 * errors, exit codes.
 *
 * A verb is a function `int lcf_cmd_<verb>(int argc, char **argv)` in one file that has a table of
 * its options (options.h), parses them with lcf_options_parse, calls library functions, and returns
 * lcf_cli_finish(...). Options common to all verbs (--config, --quiet, --verbose, --version) are
 * handled here.
 *
 * --config FILE is YAML: one mapping per verb whose keys are that verb's long options, e.g.
 *     tune:
 *       steps: 2000
 *       quiet: true
 * Flags on the command line win over the file. A key that is no option of the verb is an error that
 * names file and line.
 */
#ifndef LCF_COMMON_BASE_CLI_H
#define LCF_COMMON_BASE_CLI_H

#include "common/base/status.h"

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_VERSION "0.1.0"

/*
 * First thing in main: picks OpenBLAS's core for this processor (Debian's 0.3.21 falls back to SSE3
 * on processors it does not know) and one BLAS and OpenMP thread, by setting the environment and
 * executing this program once again.
 */
void lcf_cli_start(int argc, char **argv);

/*
 * What lcf_options_parse stands on: parses argv with `argp` after putting the options of --config
 * before it. argv[0] is shown as "llmcf <verb>".
 *
 * returns  LCF_OK, or LCF_EUSAGE with err set (bad config). argp itself exits with 2 on a wrong
 * option, and with 0 after --help and --version.
 */
lcf_status lcf_cli_parse(const struct argp *argp, const char *verb, int argc, char **argv,
                         void *input, lcf_err *err);

/* Prints the error, if any, as "llmcf <verb>: ..." and returns the exit code. */
int lcf_cli_finish(const char *verb, lcf_status status, const lcf_err *err);

#endif
