/*
 * One prompt with soft tokens in it, one completion: `llmcf complete --soft`.
 */
#ifndef LCF_OFFLINE_ILM_SOFT_COMPLETE_H
#define LCF_OFFLINE_ILM_SOFT_COMPLETE_H

#include "offline/llama/complete.h"

typedef struct lcf_soft_source {
    const char *adapter; /* weights file of `llmcf ilm`; NULL: no soft tokens */
    const char *dataset;
    const char *ranker; /* NULL: spectral vectors (vectors.h) */
} lcf_soft_source;

/*
 * As lcf_complete, with {item:ID} and {user:ID} of the prompt as soft tokens.
 *
 * errors   those of lcf_soft_prompt_named, lcf_complete and of the files; EINVAL the adapter is for
 *          another model or other vectors
 */
lcf_status lcf_soft_complete(lcf_completion *out, const lcf_llama *m, const char *prompt,
                             const lcf_soft_source *source, const lcf_complete_options *options,
                             lcf_err *err);

#endif
