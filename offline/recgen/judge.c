/*
 * Asks a RecGen-LLaMA Yes or No. All prompts are written first and put into the order of their
 * tokens: a worker takes neighbours, and what they have in common (the instruction, often a whole
 * history) goes through the network once (probe.h).
 */
#include "offline/recgen/judge.h"

#include "common/base/mem.h"
#include "offline/recgen/mixture.h"
#include "offline/recgen/probe.h"

#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS 32 /* questions of one task: they begin alike more often than not */

static const char *const YES_NO[] = {" Yes", " No"};

struct lcf_judge {
    const lcf_dataset *d;
    const lcf_prompt_options *prompt;
    const lcf_tokenizer *tokenizer;
    lcf_answers answers; /* Yes, No */
    lcf_probe *probe;
    size_t workers_n, vocab_n;
    /* of the run in progress */
    const size_t *samples;
    lcf_judgement *out;
    lcf_tokens *prompts; /* [n] */
    size_t *order;       /* [n] by tokens */
    size_t n;
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
    j->vocab_n = model->config.vocab_n;
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

/* ---- prompts ---- */

/* The prompt of a sample that names no more than history_n items, and what answers begin with. */
static lcf_status write_prompt(lcf_tokens *out, const lcf_judge *j, size_t sample, size_t history_n,
                               lcf_err *err)
{
    lcf_prompt_options prompt = *j->prompt;
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;
    lcf_facts f;

    prompt.history_n = history_n;
    lcf_facts_of(&f, j->d, NULL, history_n, sample);
    out->n = 0;
    status = lcf_prompt_tokens(out, j->tokenizer, &prompt, j->d, &f, false, &text, err);
    for (size_t i = 0; i < j->answers.common.n && !status; i++)
        if (lcf_tokens_push(out, j->answers.common.ids[i]))
            status = LCF_FAIL(err, LCF_ENOMEM, "prompt");
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status prompt_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_judge *j = arg;
    lcf_tokens *tokens = &j->prompts[task];
    const size_t context_n = lcf_probe_context(j->probe);
    size_t history_n = j->prompt->history_n;
    lcf_status status = write_prompt(tokens, j, j->samples[task], history_n, err);

    (void)worker;
    while (!status && tokens->n > context_n && history_n > 1) /* as rows are shortened to tune on */
        status = write_prompt(tokens, j, j->samples[task], --history_n, err);
    if (!status && tokens->n > context_n) {
        /* Its end, with the target, is what must be seen. Keep <s>. */
        memmove(tokens->ids + 1, tokens->ids + tokens->n - (context_n - 1),
                (context_n - 1) * sizeof(*tokens->ids));
        tokens->n = context_n;
    }
    return status;
}

static int by_tokens(const void *a, const void *b, void *arg)
{
    const lcf_judge *j = arg;
    const size_t i = *(const size_t *)a, k = *(const size_t *)b;
    const lcf_tokens *x = &j->prompts[i], *y = &j->prompts[k];

    for (size_t t = 0; t < x->n && t < y->n; t++)
        if (x->ids[t] != y->ids[t])
            return x->ids[t] < y->ids[t] ? -1 : 1;
    return x->n != y->n ? (x->n < y->n ? -1 : 1) : (i > k) - (i < k);
}

static void put_in_order(lcf_judge *j)
{
    for (size_t i = 0; i < j->n; i++)
        j->order[i] = i;
    qsort_r(j->order, j->n, sizeof(*j->order), by_tokens, j);
}

/* ---- answers ---- */

static lcf_status judge_one(lcf_judge *j, size_t idx, size_t worker, lcf_err *err)
{
    const lcf_tokens *tokens = &j->prompts[idx];
    const uint32_t yes = j->answers.ids[0], no = j->answers.ids[1];
    const float *logits;
    lcf_status status = lcf_probe_ask(&logits, j->probe, worker, tokens->ids, tokens->n, err);
    double logprob;

    if (status)
        return status;
    logprob = lcf_logprob(logits, j->vocab_n, yes);
    j->out[idx] = (lcf_judgement){
        .difference = logits[yes] - logits[no], /* the normaliser of log p cancels */
        .yes_logit = logits[yes],
        .yes_logprob = logprob < 0.0 ? (float)logprob : 0.0f, /* rounded, it may be above */
        .tokens = (uint32_t)tokens->n,
    };
    return LCF_OK;
}

static lcf_status judge_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_judge *j = arg;
    const size_t begin = task * NEIGHBOURS;
    const size_t end = begin + NEIGHBOURS < j->n ? begin + NEIGHBOURS : j->n;
    lcf_status status = LCF_OK;

    for (size_t i = begin; i < end && !status; i++)
        status = judge_one(j, j->order[i], worker, err);
    return status;
}

lcf_status lcf_judge_run(lcf_judgement *out, lcf_judge *j, const size_t *samples, size_t n,
                         lcf_pool *pool, lcf_err *err)
{
    lcf_status status = LCF_OK;

    LCF_ASSERT(lcf_pool_threads(pool) <= j->workers_n);
    j->samples = samples;
    j->out = out;
    j->n = n;
    j->prompts = lcf_alloc_zero(n + 1, sizeof(*j->prompts));
    j->order = lcf_alloc(n + 1, sizeof(*j->order));
    if (!j->prompts || !j->order)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu prompts", n);
    if (!status)
        status = lcf_pool_run(pool, n, prompt_task, j, err);
    if (!status) {
        put_in_order(j);
        status = lcf_pool_run(pool, (n + NEIGHBOURS - 1) / NEIGHBOURS, judge_task, j, err);
    }
    for (size_t i = 0; j->prompts && i < n; i++)
        lcf_tokens_dispose(&j->prompts[i]);
    free(j->prompts);
    free(j->order);
    return status;
}
