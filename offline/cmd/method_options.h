/*
 * The options that say how a language model is trained: method, optimizer, schedule, precision. A
 * verb makes LCF_METHOD_ARGP a child of its own parser, as LCF_MIXTURE_ARGP (mixture_options.h).
 */
#ifndef LCF_OFFLINE_CMD_METHOD_OPTIONS_H
#define LCF_OFFLINE_CMD_METHOD_OPTIONS_H

#include "offline/llama/llama_train.h"

#include <argp.h>

typedef struct lcf_method_arguments { /* where the values go */
    lcf_llama_train_options *train;
    size_t *accumulate;
    const char **adapter;
} lcf_method_arguments;

extern const struct argp LCF_METHOD_ARGP;

#endif
