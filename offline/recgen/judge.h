/*
 * Judge: what a RecGen-LLaMA answers when it is asked whether a user will like a target, as a
 * number: log p(Yes) - log p(No) after the prompt of the decision. Yes and No are compared at the
 * first token in which they differ, after their common beginning.
 *
 * Invariant: a sample's number is computed by one worker from that sample alone: same bits at any
 * number of threads and in any order. Its prompt holds the sample's own history, no related items
 * and no label.
 *
 * Life cycle: create -> run ... -> free; one call of run at a time.
 */
#ifndef LCF_OFFLINE_RECGEN_JUDGE_H
#define LCF_OFFLINE_RECGEN_JUDGE_H

#include "common/base/pool.h"
#include "offline/llama/llama.h"
#include "offline/recgen/prompt.h"

typedef struct lcf_judge lcf_judge;

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
 * context loses its beginning.
 *
 * shapes   logits [n] out; samples [n]
 */
lcf_status lcf_judge_run(float *logits, lcf_judge *j, const size_t *samples, size_t n,
                         lcf_pool *pool, lcf_err *err);

#endif
