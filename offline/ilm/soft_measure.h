/*
 * What a language model with soft tokens is worth, on rows that it was not trained on: the like
 * task as a number for each sample, and the texts that it writes for the others, held against what
 * the data says.
 *
 * source   ILM, arXiv 2406.02844, section 4 (semantic consistency); schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_SOFT_MEASURE_H
#define LCF_OFFLINE_ILM_SOFT_MEASURE_H

#include "offline/encode/encoder.h"
#include "offline/ilm/tasks.h"
#include "offline/llama/llama.h"

/* A model with the soft tokens of all entities; what it points at must outlive its use. */
typedef struct lcf_soft_model {
    const lcf_llama *model;
    const lcf_ilm_tasks *tasks;
    const lcf_soft_form *form;
    lcf_soft_tokens soft; /* n = 0: the text alone */
    size_t context_n;     /* tokens of a prompt and what is written behind it */
} lcf_soft_model;

typedef struct lcf_like_cost {
    uint64_t rows, tokens;
    double seconds;
} lcf_like_cost;

/*
 * log p(Yes) - log p(No) of n samples.
 *
 * shapes   logits [n] out; samples [n]
 * errors   EUNSUPPORTED the vocabulary cannot tell the answers apart; ENOMEM; ECANCELED a signal
 * threads  a row a task: the same bits at any number
 */
lcf_status lcf_soft_like(float *logits, lcf_like_cost *cost, const lcf_soft_model *m,
                         const uint32_t *samples, size_t n, lcf_pool *pool, lcf_err *err);

typedef struct lcf_soft_text {
    uint32_t number; /* of the task's row */
    char *written, *expected;
    double similarity; /* cosine of both in the encoder's space */
} lcf_soft_text;

/*
 * Greedy answers to evenly spread rows of a split, at most n_max of them, scored.
 *
 * *chance: the mean similarity of an answer to what is expected of another row (the one half of the
 * list away): what the task's form alone is worth.
 *
 * errors   as lcf_decoder_run; ENOMEM
 * memory   *out [*n]: lcf_soft_texts_free
 */
lcf_status lcf_soft_write(lcf_soft_text **out, size_t *n, double *chance, const lcf_soft_model *m,
                          lcf_ilm_task task, lcf_split split, size_t n_max, size_t tokens_max,
                          const lcf_encoder *encoder, lcf_pool *pool, lcf_err *err);
void lcf_soft_texts_free(lcf_soft_text *texts, size_t n);

/* The lexical encoder fitted on what is expected of training rows of all text tasks. */
lcf_status lcf_soft_encoder(lcf_encoder **out, const lcf_ilm_tasks *tasks,
                            const lcf_soft_form *form, lcf_pool *pool, lcf_err *err);

#endif
