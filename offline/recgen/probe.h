/*
 * Probe: asks a model how likely given words are, without sampling: the scores of the token after a
 * prompt, and -log p of a row's answers.
 *
 * Invariant: an answer is computed by one worker from its own tokens alone: same bits at any number
 * of threads and in any order.
 *
 * What a question has in common with the one that the worker was asked before is computed once:
 * questions that begin alike are cheapest one after another.
 *
 * Life cycle: create -> ask -> free. A worker's calls come from one thread; workers are
 * independent.
 */
#ifndef LCF_OFFLINE_RECGEN_PROBE_H
#define LCF_OFFLINE_RECGEN_PROBE_H

#include "offline/llama/llama.h"

typedef struct lcf_probe lcf_probe;

/*
 * context_n: tokens of the longest question; no more than the model's context is used.
 *
 * errors   ENOMEM
 * memory   the model must outlive it; a KV cache of three sequences for each worker
 */
lcf_status lcf_probe_create(lcf_probe **out, const lcf_llama *model, size_t context_n,
                            size_t workers_n, lcf_err *err);
void lcf_probe_free(lcf_probe *p);
/* Soft tokens of the questions to come; the rows must outlive them. */
void lcf_probe_soft(lcf_probe *p, const lcf_soft_tokens *soft);
/* Tokens that a question may have. */
size_t lcf_probe_context(const lcf_probe *p);

/* What the worker's questions begin with, until the next call. errors: ELIMIT beyond the context */
lcf_status lcf_probe_begin(lcf_probe *p, size_t worker, const uint32_t *tokens, size_t n,
                           lcf_err *err);
/*
 * The logits [vocab_n] of what follows the beginning and these n >= 1 tokens; valid until the
 * worker's next call. errors: ELIMIT beyond the context
 */
lcf_status lcf_probe_ask(const float **logits, lcf_probe *p, size_t worker, const uint32_t *tokens,
                         size_t n, lcf_err *err);
/* Sum of -log p of the targets that are not negative and their number: targets[i] is expected after
 * tokens[0 .. i]. The beginning is not used. */
lcf_status lcf_probe_row(double *nll, uint64_t *targets_n, lcf_probe *p, size_t worker,
                         const uint32_t *tokens, const int32_t *targets, size_t n, lcf_err *err);

#define LCF_ANSWERS_MAX 8
typedef struct lcf_answers {       /* zero to start with */
    lcf_tokens common;             /* what the answers begin with alike */
    uint32_t ids[LCF_ANSWERS_MAX]; /* the first token in which they differ */
    size_t n;
} lcf_answers;
/*
 * How n answers (2 to LCF_ANSWERS_MAX) are told apart behind a prompt.
 *
 * errors   EUNSUPPORTED two of them cannot be told apart at their first differing token
 */
lcf_status lcf_answers_find(lcf_answers *out, const lcf_tokenizer *tokenizer,
                            const char *const *texts, size_t n, lcf_err *err);
void lcf_answers_dispose(lcf_answers *a);

#endif
