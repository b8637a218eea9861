/*
 * The options that say what a language model is tuned on, for every verb that has them: tune,
 * measure and export-sft. A verb makes LCF_MIXTURE_ARGP a child of its own parser and hands it an
 * lcf_mixture_arguments when it is initialised:
 *
 *     case ARGP_KEY_INIT: state->child_inputs[0] = &a->mixture; return 0;
 */
#ifndef LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H
#define LCF_OFFLINE_CMD_MIXTURE_OPTIONS_H

#include "offline/recgen/mixture.h"

#include <argp.h>

typedef struct lcf_mixture_arguments { /* where the values go */
    lcf_sources_options *sources;
    lcf_mixture_options *mixture;
} lcf_mixture_arguments;

extern const struct argp LCF_MIXTURE_ARGP;

#endif
