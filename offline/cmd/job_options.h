/*
 * The options that `generate` and `export-requests` have in common: which rows, asked how, of which
 * remote model.
 */
#ifndef LCF_OFFLINE_CMD_JOB_OPTIONS_H
#define LCF_OFFLINE_CMD_JOB_OPTIONS_H

#include "common/base/options.h"

extern const lcf_option lcf_job_rows[]; /* of an lcf_generate_options */

#endif
