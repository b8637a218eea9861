/*
 * Held-out measures of a RecGen-LLaMA: Yes / No AUC and chain-of-thought perplexity on the valid
 * split; perplexity on general rows that were kept from training and multiple-choice accuracy
 * (capability retained).
 *
 * Same model, data and numbers of rows: same bits, at any thread count.
 */
#ifndef LCF_OFFLINE_RECGEN_MEASURE_H
#define LCF_OFFLINE_RECGEN_MEASURE_H

#include "offline/recgen/choice.h"
#include "offline/recgen/mixture.h"

#include <jansson.h>

typedef struct lcf_recgen_measures {
    double auc; /* of log p(Yes) - log p(No); NaN when only one class was seen */
    size_t auc_rows;
    double cot_perplexity; /* exp(mean -log p) over the teacher's texts; NaN without rows */
    uint64_t cot_tokens;
    double general_perplexity; /* NaN when no general row was held out */
    uint64_t general_tokens;
    double general_bits_per_byte; /* the same rows' information over their bytes: what can be
                                     compared between models of different vocabularies */
    lcf_choice_result choice;     /* accuracy NaN when it was not asked for */
} lcf_recgen_measures;

typedef struct lcf_measure_options {
    size_t auc_rows, cot_rows, general_rows; /* at most so many, evenly spread */
    size_t choice_rows;                      /* 0 = all */
    const char *choice_dir;                  /* NULL: no multiple choice */
    size_t context_n;                        /* tokens of a prompt, at most */
} lcf_measure_options;
#define LCF_MEASURE_OPTIONS_INIT    \
    {                               \
        400, 120, 120, 0, NULL, 384 \
    }

/*
 * Measures a model on the valid split of the mixture's dataset and the held-out rows of its general
 * sources. Without a dataset the first two measures are NaN. The mixture's cutoff must not be
 * larger than the model's context.
 *
 * errors   EUNSUPPORTED Yes and No, or A to D, cannot be told apart in the vocabulary; those of
 *          lcf_choice_measure; ENOMEM
 */
lcf_status lcf_recgen_measure(lcf_recgen_measures *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, lcf_mixture *mixture,
                              const lcf_sources *sources, const lcf_measure_options *options,
                              lcf_pool *pool, lcf_err *err);
/* {auc, auc_rows, cot_perplexity, ...} and back; a measure that is NaN is null. NULL when out of
 * memory. */
json_t *lcf_recgen_measures_json(const lcf_recgen_measures *m);
lcf_recgen_measures lcf_recgen_measures_of_json(const json_t *json);

#endif
