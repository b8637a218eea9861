/*
 * Held-out measures. Yes and No are compared at the first token in which they differ, after their
 * common beginning; each row's score is computed by one worker from that row alone.
 */
#include "offline/recgen/measure.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/recgen/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_PER_PASS 16 /* of perplexity: bounds the memory of the tape */

/* ---- AUC ---- */

typedef struct auc_run {
    const lcf_llama *model;
    const lcf_dataset *d;
    const lcf_related *related;
    const lcf_prompt_options *prompt;
    const lcf_tokenizer *tokenizer;
    size_t context_n;
    lcf_tokens common;            /* what Yes and No begin with alike */
    uint32_t yes, no;             /* the first tokens that differ */
    size_t *samples;              /* [n] */
    float *scores;                /* [n] */
    uint8_t *labels;              /* [n] */
    lcf_llama_session **sessions; /* [workers] */
    size_t workers;
} auc_run;

static lcf_status answers_of(auc_run *r, lcf_err *err)
{
    lcf_tokens yes = LCF_TOKENS_INIT, no = LCF_TOKENS_INIT;
    size_t at = 0;
    lcf_status status = lcf_tokenizer_encode(&yes, r->tokenizer, " Yes", 4, false, err);

    if (!status)
        status = lcf_tokenizer_encode(&no, r->tokenizer, " No", 3, false, err);
    if (status)
        goto done;
    while (at < yes.n && at < no.n && yes.ids[at] == no.ids[at])
        at++;
    if (at == yes.n || at == no.n) {
        status = LCF_FAIL(err, LCF_EUNSUPPORTED, "Yes and No have no differing token");
        goto done;
    }
    for (size_t i = 0; i < at && !status; i++)
        status = lcf_tokens_push(&r->common, yes.ids[i]);
    r->yes = yes.ids[at];
    r->no = no.ids[at];
done:
    lcf_tokens_dispose(&yes);
    lcf_tokens_dispose(&no);
    return status;
}

/* log p(Yes) - log p(No) after the row's prompt; the normaliser cancels. */
static lcf_status score_tokens(float *score, const auc_run *r, lcf_llama_session *session,
                               const lcf_tokens *tokens, lcf_err *err)
{
    lcf_llama_token *batch = lcf_alloc(tokens->n, sizeof(*batch));
    const float *logits;
    lcf_status status;

    if (!batch)
        return LCF_FAIL(err, LCF_ENOMEM, "prompt of %zu tokens", tokens->n);
    for (size_t i = 0; i < tokens->n; i++)
        batch[i] = (lcf_llama_token){tokens->ids[i], 0, i + 1 == tokens->n};
    lcf_llama_seq_reset(session, 0);
    status = lcf_llama_decode(&logits, session, batch, tokens->n, err);
    if (!status)
        *score = logits[r->yes] - logits[r->no];
    free(batch);
    return status;
}

static lcf_status score_row(void *arg, size_t task, size_t worker, lcf_err *err)
{
    auc_run *r = arg;
    lcf_tokens tokens = LCF_TOKENS_INIT;
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;
    lcf_facts f;

    lcf_facts_of(&f, r->d, r->related, r->prompt->history_n, r->samples[task]);
    r->labels[task] = f.sample.label;
    status = lcf_prompt_tokens(&tokens, r->tokenizer, r->prompt, r->d, &f, false, &text, err);
    for (size_t i = 0; i < r->common.n && !status; i++)
        status = lcf_tokens_push(&tokens, r->common.ids[i]);
    if (!status && tokens.n > r->context_n) {
        /* Too long: its end, with the target, is what must be seen. Keep <s>. */
        memmove(tokens.ids + 1, tokens.ids + tokens.n - (r->context_n - 1),
                (r->context_n - 1) * sizeof(*tokens.ids));
        tokens.n = r->context_n;
    }
    if (!status)
        status = score_tokens(&r->scores[task], r, r->sessions[worker], &tokens, err);
    lcf_tokens_dispose(&tokens);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status open_sessions(auc_run *r, size_t workers, lcf_err *err)
{
    lcf_status status = LCF_OK;

    r->sessions = lcf_alloc_zero(workers, sizeof(*r->sessions));
    if (!r->sessions)
        return LCF_FAIL(err, LCF_ENOMEM, "sessions");
    r->workers = workers;
    for (size_t i = 0; i < workers && !status; i++)
        status =
            lcf_llama_session_create(&r->sessions[i], r->model, 1, r->context_n, r->context_n, err);
    return status;
}

static lcf_status measure_auc(lcf_recgen_measures *out, auc_run *r, size_t n, lcf_pool *pool,
                              lcf_err *err)
{
    size_t begin = r->d->split_begin[LCF_VALID];
    size_t all = r->d->split_begin[LCF_VALID + 1] - begin;
    uint64_t *scratch = NULL;
    lcf_status status;

    n = n < all ? n : all;
    out->auc = NAN;
    out->auc_rows = n;
    if (!n)
        return LCF_OK;
    r->samples = lcf_alloc(n, sizeof(*r->samples));
    r->scores = lcf_alloc(n, sizeof(*r->scores));
    r->labels = lcf_alloc(n, sizeof(*r->labels));
    scratch = lcf_alloc(n, 2 * sizeof(*scratch));
    if (!r->samples || !r->scores || !r->labels || !scratch) {
        status = LCF_FAIL(err, LCF_ENOMEM, "AUC of %zu rows", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        r->samples[i] = begin + (size_t)((double)i * (double)all / (double)n);
    status = answers_of(r, err);
    if (!status)
        status = open_sessions(r, lcf_pool_threads(pool), err);
    if (!status)
        status = lcf_pool_run(pool, n, score_row, r, err);
    if (!status)
        out->auc = lcf_auc(r->scores, r->labels, n, scratch);
done:
    free(scratch);
    return status;
}

static void auc_run_dispose(auc_run *r)
{
    for (size_t i = 0; i < r->workers; i++)
        lcf_llama_session_free(r->sessions[i]);
    free(r->sessions);
    free(r->samples);
    free(r->scores);
    free(r->labels);
    lcf_tokens_dispose(&r->common);
}

/* ---- perplexity ---- */

typedef struct passes { /* rows gathered for one forward pass */
    lcf_row rows[ROWS_PER_PASS];
    size_t n;
    lcf_pack pack;
    double nll;
    uint64_t targets_n;
} passes;

static lcf_status flush(passes *p, lcf_llama_trainer *trainer, lcf_pool *pool, lcf_err *err)
{
    double nll = 0.0;
    uint64_t targets_n = 0;
    lcf_status status;

    if (!p->n)
        return LCF_OK;
    lcf_pack_fill(&p->pack, p->rows, p->n);
    status = lcf_llama_trainer_eval(&nll, &targets_n, trainer, p->pack.seqs, p->pack.n, pool, err);
    p->nll += nll;
    p->targets_n += targets_n;
    p->n = 0;
    return status;
}

static lcf_status measure_perplexity(double *perplexity, uint64_t *targets_n,
                                     lcf_llama_trainer *trainer, lcf_mixture *mixture,
                                     lcf_source source, size_t begin, size_t all, size_t n,
                                     size_t cutoff, lcf_pool *pool, lcf_err *err)
{
    passes p = {.n = 0};
    lcf_status status = lcf_pack_init(&p.pack, ROWS_PER_PASS, cutoff, err);

    n = n < all ? n : all;
    for (size_t i = 0; i < n && !status; i++) {
        size_t idx = begin + (size_t)((double)i * (double)all / (double)n);
        status = lcf_mixture_held_out(&p.rows[p.n], mixture, source, idx, err);
        if (!status && ++p.n == ROWS_PER_PASS)
            status = flush(&p, trainer, pool, err);
    }
    if (!status)
        status = flush(&p, trainer, pool, err);
    *targets_n = p.targets_n;
    *perplexity = p.targets_n ? exp(p.nll / (double)p.targets_n) : NAN;
    for (size_t i = 0; i < ROWS_PER_PASS; i++)
        lcf_row_dispose(&p.rows[i]);
    lcf_pack_dispose(&p.pack);
    return status;
}

/* ---- both ---- */

lcf_status lcf_recgen_measure(lcf_recgen_measures *out, lcf_llama_trainer *trainer,
                              lcf_mixture *mixture, const lcf_dataset *d,
                              const lcf_related *related, const lcf_prompt_options *prompt,
                              lcf_tokenizer *tokenizer, const lcf_measure_options *options,
                              lcf_pool *pool, lcf_err *err)
{
    size_t valid = d->split_begin[LCF_VALID], valid_n = d->split_begin[LCF_VALID + 1] - valid;
    lcf_llama model;
    lcf_status status = lcf_llama_trainer_model(&model, trainer, tokenizer, err);
    auc_run r = {.model = &model,
                 .d = d,
                 .related = related,
                 .prompt = prompt,
                 .tokenizer = tokenizer,
                 .context_n = options->context_n};

    memset(out, 0, sizeof(*out));
    if (status)
        return status;
    status = measure_auc(out, &r, options->auc_rows, pool, err);
    auc_run_dispose(&r);
    if (!status)
        status = measure_perplexity(&out->cot_perplexity, &out->cot_tokens, trainer, mixture,
                                    LCF_EXPLAIN, valid, valid_n, options->cot_rows,
                                    options->context_n, pool, err);
    if (!status)
        status = measure_perplexity(&out->general_perplexity, &out->general_tokens, trainer,
                                    mixture, LCF_GENERAL, 0, lcf_mixture_held_out_n(mixture),
                                    options->general_rows, options->context_n, pool, err);
    lcf_llama_trainer_model_dispose(&model);
    return status;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *lcf_recgen_measures_json(const lcf_recgen_measures *m)
{
    return json_pack("{s:o, s:I, s:o, s:I, s:o, s:I}", "auc", number(m->auc), "auc_rows",
                     (json_int_t)m->auc_rows, "cot_perplexity", number(m->cot_perplexity),
                     "cot_tokens", (json_int_t)m->cot_tokens, "general_perplexity",
                     number(m->general_perplexity), "general_tokens",
                     (json_int_t)m->general_tokens);
}
