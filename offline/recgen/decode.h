/*
 * Candidates: a group of prompts is prefilled, each prompt's KV cache is copied to its candidates,
 * and all candidates of the group are sampled side by side until each has ended.
 *
 * The draws of a candidate come from a generator seeded by (its row's key, candidate number), so
 * they do not depend on which thread decodes the group or what was decoded before. Composition of a
 * group is fixed by its rows alone: same rows, same bits.
 *
 * Life cycle: create per worker -> run per group ... -> free. One thread each.
 */
#ifndef LCF_OFFLINE_RECGEN_DECODE_H
#define LCF_OFFLINE_RECGEN_DECODE_H

#include "common/base/hash.h"
#include "offline/llama/llama.h"

typedef struct lcf_decoder lcf_decoder;

typedef struct lcf_decoder_options {
    size_t rows_max;     /* prompts of a group */
    size_t candidates_n; /* per prompt */
    size_t tokens_max;   /* new tokens of a candidate */
    lcf_sampling sampling;
} lcf_decoder_options;

typedef struct lcf_candidate {
    lcf_tokens tokens; /* without </s> */
    bool finished;     /* ended by </s>, not by tokens_max */
    double logprob;    /* sum over its tokens */
} lcf_candidate;

/* errors: ENOMEM; EINVAL the model's context has no room for tokens_max */
lcf_status lcf_decoder_create(lcf_decoder **out, const lcf_llama *model,
                              const lcf_decoder_options *options, lcf_err *err);
void lcf_decoder_free(lcf_decoder *d);
/* Longest prompt that leaves room for tokens_max. */
size_t lcf_decoder_prompt_max(const lcf_decoder *d);
/*
 * shapes   prompts [rows_n], keys [rows_n]; rows_n <= rows_max; each prompt has 1 to prompt_max
 * tokens
 */
lcf_status lcf_decoder_run(lcf_decoder *d, const lcf_tokens *prompts, const lcf_hash128 *keys,
                           size_t rows_n, lcf_err *err);
/* The result of the last run; valid until the next. */
const lcf_candidate *lcf_decoder_candidate(const lcf_decoder *d, size_t row, size_t candidate);

#endif
