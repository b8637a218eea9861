/*
 * The local engine: each worker takes a group of rows, decodes it and hands the rows back. Rows of
 * a group are decoded side by side; see decode.h for what that leaves unchanged.
 */
#include "offline/recgen/engine.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "offline/recgen/decode.h"
#include "offline/recgen/mixture.h"

#include <stdlib.h>

typedef struct worker { /* one thread's room */
    lcf_decoder *decoder;
    lcf_ask *asks;        /* [batch_rows] */
    lcf_tokens *prompts;  /* [batch_rows] */
    lcf_hash128 *keys;    /* [batch_rows] */
    lcf_answer *answers;  /* [candidates_n] */
    size_t *text_end;     /* [candidates_n] where each candidate's text ends in `text` */
    lcf_buf prompt, text; /* scratch; texts of one row */
} worker;

typedef struct local {
    lcf_engine face;
    lcf_engine_options o;
    lcf_llama *model;
    /* of the run in progress */
    const lcf_job *job;
    worker *workers;
    size_t workers_n;
} local;

/* The row's prompt, with as much history as the model's context has room for. */
static lcf_status make_prompt(local *l, worker *w, size_t slot, lcf_err *err)
{
    size_t room = lcf_decoder_prompt_max(w->decoder);
    lcf_tokens *prompt = &w->prompts[slot];
    lcf_ask *ask = &w->asks[slot];

    for (;;) {
        lcf_status status;
        prompt->n = 0;
        status = lcf_prompt_tokens(prompt, l->model->tokenizer, l->o.prompt, l->o.dataset,
                                   &ask->facts, true, &w->prompt, err);
        if (status || prompt->n <= room)
            return status;
        if (!l->job->shorten(l->job->arg, ask))
            return LCF_FAIL(err, LCF_ELIMIT,
                            "a prompt of %zu tokens; the model's context leaves room for %zu",
                            prompt->n, room);
    }
}

static lcf_status hand_back(local *l, worker *w, size_t slot, lcf_err *err)
{
    size_t n = l->o.candidates_n;

    lcf_buf_reset(&w->text);
    for (size_t c = 0; c < n; c++) {
        const lcf_tokens *t = &lcf_decoder_candidate(w->decoder, slot, c)->tokens;
        lcf_tokenizer_decode(&w->text, l->model->tokenizer, t->ids, t->n);
        w->text_end[c] = w->text.len;
    }
    if (w->text.status)
        return LCF_FAIL(err, w->text.status, "generated text");
    for (size_t c = 0; c < n; c++) {
        const lcf_candidate *candidate = lcf_decoder_candidate(w->decoder, slot, c);
        size_t begin = c ? w->text_end[c - 1] : 0;
        w->answers[c] = (lcf_answer){{lcf_buf_text(&w->text) + begin, w->text_end[c] - begin},
                                     candidate->tokens.n,
                                     candidate->finished};
    }
    return l->job->done(l->job->arg, &w->asks[slot], w->answers, n, w->prompts[slot].n, err);
}

static lcf_status answer_group(local *l, worker *w, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        w->keys[i] = w->asks[i].key;
        status = make_prompt(l, w, i, err);
    }
    if (!status)
        status = lcf_decoder_run(w->decoder, w->prompts, w->keys, n, err);
    for (size_t i = 0; i < n && !status; i++)
        status = hand_back(l, w, i, err);
    return status;
}

static lcf_status work(void *arg, size_t task, size_t worker_idx, lcf_err *err)
{
    local *l = arg;
    worker *w = &l->workers[worker_idx];
    size_t n = l->job->take(l->job->arg, w->asks, l->o.batch_rows);

    (void)task; /* tasks and groups are as many; which worker takes which group is open */
    return n ? answer_group(l, w, n, err) : LCF_OK;
}

static lcf_status open_worker(worker *w, const local *l, lcf_err *err)
{
    size_t n = l->o.batch_rows, candidates_n = l->o.candidates_n;
    lcf_decoder_options options = {n, candidates_n, l->o.tokens_max, l->o.sampling};

    w->prompts = lcf_alloc_zero(n, sizeof(*w->prompts));
    w->asks = lcf_alloc(n, sizeof(*w->asks));
    w->keys = lcf_alloc(n, sizeof(*w->keys));
    w->answers = lcf_alloc(candidates_n, sizeof(*w->answers));
    w->text_end = lcf_alloc(candidates_n, sizeof(*w->text_end));
    if (!w->prompts || !w->asks || !w->keys || !w->answers || !w->text_end)
        return LCF_FAIL(err, LCF_ENOMEM, "room for %zu rows", n);
    return lcf_decoder_create(&w->decoder, l->model, &options, err);
}

static void close_worker(worker *w, size_t n)
{
    for (size_t i = 0; w->prompts && i < n; i++)
        lcf_tokens_dispose(&w->prompts[i]);
    free(w->prompts);
    free(w->asks);
    free(w->keys);
    free(w->answers);
    free(w->text_end);
    lcf_buf_dispose(&w->prompt);
    lcf_buf_dispose(&w->text);
    lcf_decoder_free(w->decoder);
}

static lcf_status open_workers(local *l, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    l->workers = lcf_alloc_zero(n, sizeof(*l->workers));
    if (!l->workers)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu workers", n);
    l->workers_n = n;
    for (size_t i = 0; i < n && !status; i++)
        status = open_worker(&l->workers[i], l, err);
    return status;
}

static void close_workers(local *l)
{
    for (size_t i = 0; i < l->workers_n; i++)
        close_worker(&l->workers[i], l->o.batch_rows);
    free(l->workers);
    l->workers = NULL;
    l->workers_n = 0;
}

/* No more threads than groups: a worker's KV cache is large. */
static lcf_status open_pool(lcf_pool **out, size_t threads, size_t groups_n, lcf_err *err)
{
    lcf_status status = lcf_pool_create(out, threads, err);

    if (status || lcf_pool_threads(*out) <= groups_n)
        return status;
    lcf_pool_free(*out);
    *out = NULL;
    return lcf_pool_create(out, groups_n, err);
}

static lcf_status run(lcf_engine *e, const lcf_job *job, lcf_err *err)
{
    local *l = (local *)e;
    lcf_pool *pool = NULL;
    lcf_status status = open_pool(&pool, l->o.threads, job->groups_n, err);

    l->job = job;
    if (!status)
        status = open_workers(l, lcf_pool_threads(pool), err);
    if (!status)
        status = lcf_pool_run(pool, job->groups_n, work, l, err);
    close_workers(l);
    lcf_pool_free(pool);
    return status;
}

static void free_local(lcf_engine *e)
{
    local *l = (local *)e;

    lcf_llama_close(l->model);
    free(l);
}

lcf_status lcf_engine_local_create(lcf_engine **out, const lcf_engine_options *options,
                                   const char *model, lcf_err *err)
{
    local *l = lcf_alloc_zero(1, sizeof(*l));
    lcf_status status;

    *out = NULL;
    if (!l)
        return LCF_FAIL(err, LCF_ENOMEM, "engine");
    l->o = *options;
    l->face.run = run;
    l->face.free = free_local;
    status = lcf_llama_open(&l->model, model, err);
    if (status) {
        free_local(&l->face);
        return status;
    }
    l->face.model_id = l->model->id;
    *out = &l->face;
    return LCF_OK;
}

void lcf_engine_free(lcf_engine *e)
{
    if (e)
        e->free(e);
}
