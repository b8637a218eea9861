/*
 * Judge: what a RecGen-LLaMA answers when it is asked whether a user will like a target, as
 * numbers, from one pass over the prompt of the decision. Yes and No are compared at the first
 * token in which they differ, after their common beginning.
 *
 * Invariant: a sample's numbers depend on that sample alone: same bits at any number of threads and
 * in any order, though prompts that begin alike are read together. A prompt holds the sample's own
 * history, no related items and no label.
 *
 * Life cycle: create -> run ... -> free; one call of run at a time.
 */
#ifndef LCF_OFFLINE_RECGEN_JUDGE_H
#define LCF_OFFLINE_RECGEN_JUDGE_H

#include "common/base/pool.h"
#include "offline/llama/llama.h"
#include "offline/recgen/prompt.h"

typedef struct lcf_judge lcf_judge;

typedef struct lcf_judgement {
    float difference;  /* log p(Yes) - log p(No) */
    float yes_logit;   /* of Yes as the network gives it: the score that BinLLM publishes */
    float yes_logprob; /* log p(Yes) over all words */
    uint32_t tokens;   /* of the prompt */
} lcf_judgement;

/*
 * errors   EUNSUPPORTED Yes and No cannot be told apart in the vocabulary; ENOMEM
 * memory   model, tokenizer, d and prompt must outlive it; a KV cache of context_n for each worker
 */
lcf_status lcf_judge_create(lcf_judge **out, const lcf_llama *model, const lcf_tokenizer *tokenizer,
                            const lcf_dataset *d, const lcf_prompt_options *prompt,
                            size_t context_n, size_t workers_n, lcf_err *err);
void lcf_judge_free(lcf_judge *j);

/*
 * The answers to n samples, on a pool of at most workers_n threads. A prompt longer than the
 * context loses the oldest of its history, then its beginning.
 *
 * shapes   out [n]; samples [n]
 * memory   the prompts of all n, as tokens
 */
lcf_status lcf_judge_run(lcf_judgement *out, lcf_judge *j, const size_t *samples, size_t n,
                         lcf_pool *pool, lcf_err *err);

#endif
