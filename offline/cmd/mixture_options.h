/*
 * The options that say what a language model is tuned on, for every verb that has them: tune,
 * measure and export-sft.
 */
#ifndef LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H
#define LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H

#include "common/base/options.h"
#include "offline/recgen/mixture.h"

extern const lcf_option lcf_sources_rows[]; /* of an lcf_sources_options */
extern const lcf_option lcf_mixture_rows[]; /* of an lcf_mixture_options */

/* Both, of two fields of `arguments`, under one heading. */
#define LCF_OPT_MIXTURE(sources, mixture)                                          \
    LCF_OPT_ROWS(((const lcf_option[]){{LCF_OPT_TABLE(sources, lcf_sources_rows)}, \
                                       {LCF_OPT_TABLE(mixture, lcf_mixture_rows)}, \
                                       {0}}))

#endif
