/* Asks a RecGen-LLaMA Yes or No, one prompt at a time and worker. */
#include "offline/recgen/judge.h"

#include "common/base/mem.h"
#include "offline/recgen/mixture.h"
#include "offline/recgen/probe.h"

#include <stdlib.h>
#include <string.h>

static const char *const YES_NO[] = {" Yes", " No"};

struct lcf_judge {
    const lcf_dataset *d;
    const lcf_prompt_options *prompt;
    const lcf_tokenizer *tokenizer;
    lcf_answers answers; /* Yes, No */
    lcf_probe *probe;
    size_t workers_n;
    /* of the run in progress */
    const size_t *samples;
    float *logits;
};

lcf_status lcf_judge_create(lcf_judge **out, const lcf_llama *model, const lcf_tokenizer *tokenizer,
                            const lcf_dataset *d, const lcf_prompt_options *prompt,
                            size_t context_n, size_t workers_n, lcf_err *err)
{
    lcf_judge *j = lcf_alloc_zero(1, sizeof(*j));
    lcf_status status;

    *out = NULL;
    if (!j)
        return LCF_FAIL(err, LCF_ENOMEM, "judge");
    j->d = d;
    j->prompt = prompt;
    j->tokenizer = tokenizer;
    j->workers_n = workers_n;
    status = lcf_answers_find(&j->answers, tokenizer, YES_NO, 2, err);
    if (!status)
        status = lcf_probe_create(&j->probe, model, context_n, workers_n, err);
    if (!status) {
        *out = j;
        j = NULL;
    }
    lcf_judge_free(j);
    return status;
}

void lcf_judge_free(lcf_judge *j)
{
    if (!j)
        return;
    lcf_probe_free(j->probe);
    lcf_answers_dispose(&j->answers);
    free(j);
}

static lcf_status judge_one(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_judge *j = arg;
    lcf_tokens tokens = LCF_TOKENS_INIT;
    lcf_buf text = LCF_BUF_INIT;
    size_t context_n = lcf_probe_context(j->probe);
    const float *logits;
    lcf_status status;
    lcf_facts f;

    lcf_facts_of(&f, j->d, NULL, j->prompt->history_n, j->samples[task]);
    status = lcf_prompt_tokens(&tokens, j->tokenizer, j->prompt, j->d, &f, false, &text, err);
    for (size_t i = 0; i < j->answers.common.n && !status; i++)
        status = lcf_tokens_push(&tokens, j->answers.common.ids[i]);
    if (!status && tokens.n > context_n) {
        /* Too long: its end, with the target, is what must be seen. Keep <s>. */
        memmove(tokens.ids + 1, tokens.ids + tokens.n - (context_n - 1),
                (context_n - 1) * sizeof(*tokens.ids));
        tokens.n = context_n;
    }
    if (!status)
        status = lcf_probe_ask(&logits, j->probe, worker, tokens.ids, tokens.n, err);
    if (!status) /* the normaliser of log p cancels */
        j->logits[task] = logits[j->answers.ids[0]] - logits[j->answers.ids[1]];
    lcf_tokens_dispose(&tokens);
    lcf_buf_dispose(&text);
    return status;
}

lcf_status lcf_judge_run(float *logits, lcf_judge *j, const size_t *samples, size_t n,
                         lcf_pool *pool, lcf_err *err)
{
    LCF_ASSERT(lcf_pool_threads(pool) <= j->workers_n);
    j->samples = samples;
    j->logits = logits;
    return lcf_pool_run(pool, n, judge_one, j, err);
}
