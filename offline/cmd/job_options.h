/*
 * The options that `generate` and `export-requests` have in common: which rows, asked how, of which
 * remote model. An argp child whose input is an lcf_generate_options.
 */
#ifndef LCF_OFFLINE_CMD_JOB_OPTIONS_H
#define LCF_OFFLINE_CMD_JOB_OPTIONS_H

#include <argp.h>

extern const struct argp lcf_cmd_job_argp;

#endif
