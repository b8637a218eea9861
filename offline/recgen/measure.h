/*
 * Held-out measures of a RecGen-LLaMA: Yes / No AUC and chain-of-thought perplexity on the valid
 * split, perplexity on general instructions that were kept from training (capability retained).
 *
 * Same model, data and numbers of rows: same bits, at any thread count.
 */
#ifndef LCF_OFFLINE_RECGEN_MEASURE_H
#define LCF_OFFLINE_RECGEN_MEASURE_H

#include "offline/recgen/mixture.h"

#include <jansson.h>

typedef struct lcf_recgen_measures {
    double auc; /* of log p(Yes) - log p(No); NaN when only one class was seen */
    size_t auc_rows;
    double cot_perplexity; /* exp(mean -log p) over the teacher's texts; NaN without rows */
    uint64_t cot_tokens;
    double general_perplexity; /* NaN when there is no general instruction */
    uint64_t general_tokens;
} lcf_recgen_measures;

typedef struct lcf_measure_options {
    size_t auc_rows, cot_rows, general_rows; /* at most so many, evenly spread */
    size_t context_n;                        /* tokens of a prompt, at most */
} lcf_measure_options;
#define LCF_MEASURE_OPTIONS_INIT \
    {                            \
        400, 120, 120, 384       \
    }

/*
 * Measures the trainer's current weights on the valid split; no update. Without a valid sample the
 * first two measures are NaN.
 *
 * errors   EUNSUPPORTED Yes and No cannot be told apart in the vocabulary; ENOMEM
 */
lcf_status lcf_recgen_measure(lcf_recgen_measures *out, lcf_llama_trainer *trainer,
                              lcf_mixture *mixture, const lcf_dataset *d,
                              const lcf_prompt_options *prompt, lcf_tokenizer *tokenizer,
                              const lcf_measure_options *options, lcf_pool *pool, lcf_err *err);
/* {auc, auc_rows, cot_perplexity, ...}; a measure that is NaN is null. NULL when out of memory. */
json_t *lcf_recgen_measures_json(const lcf_recgen_measures *m);

#endif
