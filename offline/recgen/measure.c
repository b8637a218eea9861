/* Held-out measures; the rows of the first are judged (judge.h), those of the others packed. */
#include "offline/recgen/measure.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/recgen/judge.h"
#include "offline/recgen/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_PER_PASS 16 /* of perplexity: bounds the memory of the tape */

/* ---- AUC ---- */

typedef struct auc_run {
    size_t *samples; /* [n], evenly spread over the valid split */
    float *logits;
    uint8_t *labels;
    uint64_t *scratch;
} auc_run;

static lcf_status spread(auc_run *r, const lcf_dataset *d, size_t n, lcf_err *err)
{
    const size_t begin = d->split_begin[LCF_VALID], all = d->split_begin[LCF_VALID + 1] - begin;

    r->samples = lcf_alloc(n, sizeof(*r->samples));
    r->logits = lcf_alloc(n, sizeof(*r->logits));
    r->labels = lcf_alloc(n, sizeof(*r->labels));
    r->scratch = lcf_alloc(n, 2 * sizeof(*r->scratch));
    if (!r->samples || !r->logits || !r->labels || !r->scratch)
        return LCF_FAIL(err, LCF_ENOMEM, "AUC of %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        r->samples[i] = begin + (size_t)((double)i * (double)all / (double)n);
        r->labels[i] = d->sample_label[r->samples[i]];
    }
    return LCF_OK;
}

static lcf_status measure_auc(lcf_recgen_measures *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, const lcf_dataset *d,
                              const lcf_prompt_options *prompt, const lcf_measure_options *options,
                              lcf_pool *pool, lcf_err *err)
{
    size_t all = d->split_begin[LCF_VALID + 1] - d->split_begin[LCF_VALID];
    size_t n = options->auc_rows < all ? options->auc_rows : all;
    auc_run r = {NULL, NULL, NULL, NULL};
    lcf_judge *judge = NULL;
    lcf_status status;

    out->auc = NAN;
    out->auc_rows = n;
    if (!n)
        return LCF_OK;
    status = spread(&r, d, n, err);
    if (!status)
        status = lcf_judge_create(&judge, model, tokenizer, d, prompt, options->context_n,
                                  lcf_pool_threads(pool), err);
    if (!status)
        status = lcf_judge_run(r.logits, judge, r.samples, n, pool, err);
    if (!status)
        out->auc = lcf_auc(r.logits, r.labels, n, r.scratch);
    lcf_judge_free(judge);
    free(r.samples);
    free(r.logits);
    free(r.labels);
    free(r.scratch);
    return status;
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
                              const lcf_prompt_options *prompt, lcf_tokenizer *tokenizer,
                              const lcf_measure_options *options, lcf_pool *pool, lcf_err *err)
{
    size_t valid = d->split_begin[LCF_VALID], valid_n = d->split_begin[LCF_VALID + 1] - valid;
    lcf_llama model;
    lcf_status status = lcf_llama_trainer_model(&model, trainer, tokenizer, err);

    memset(out, 0, sizeof(*out));
    if (status)
        return status;
    status = measure_auc(out, &model, tokenizer, d, prompt, options, pool, err);
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
