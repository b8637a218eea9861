/*
 * The options that say what a language model is tuned on, for every verb that has them: tune,
 * measure and export-sft, which include both tables (LCF_OPT_TABLE).
 */
#ifndef LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H
#define LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H

#include "common/base/options.h"
#include "offline/recgen/mixture.h"

extern const lcf_option lcf_sources_rows[]; /* of an lcf_sources_options */
extern const lcf_option lcf_mixture_rows[]; /* of an lcf_mixture_options */

#endif
