/* Held-out measures; the rows of the first are judged (judge.h), those of the others probed. */
#include "offline/recgen/measure.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/recgen/judge.h"
#include "offline/recgen/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_PER_PASS 64 /* of perplexity: bounds the rows that are held at once */

/* ---- AUC ---- */

typedef struct auc_run {
    size_t *samples; /* [n], evenly spread over the valid split */
    lcf_judgement *judged;
    float *differences;
    uint8_t *labels;
    uint64_t *scratch;
} auc_run;

static lcf_status spread(auc_run *r, const lcf_dataset *d, size_t n, lcf_err *err)
{
    const size_t begin = d->split_begin[LCF_VALID], all = d->split_begin[LCF_VALID + 1] - begin;

    r->samples = lcf_alloc(n, sizeof(*r->samples));
    r->judged = lcf_alloc(n, sizeof(*r->judged));
    r->differences = lcf_alloc(n, sizeof(*r->differences));
    r->labels = lcf_alloc(n, sizeof(*r->labels));
    r->scratch = lcf_alloc(n, 2 * sizeof(*r->scratch));
    if (!r->samples || !r->judged || !r->differences || !r->labels || !r->scratch)
        return LCF_FAIL(err, LCF_ENOMEM, "AUC of %zu rows", n);
    for (size_t i = 0; i < n; i++) {
        r->samples[i] = begin + (size_t)((double)i * (double)all / (double)n);
        r->labels[i] = d->sample_label[r->samples[i]];
    }
    return LCF_OK;
}

static lcf_status measure_auc(lcf_recgen_measures *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, const lcf_sources *sources,
                              const lcf_measure_options *options, lcf_pool *pool, lcf_err *err)
{
    const lcf_dataset *d = lcf_sources_dataset(sources);
    size_t all = d ? d->split_begin[LCF_VALID + 1] - d->split_begin[LCF_VALID] : 0;
    size_t n = options->auc_rows < all ? options->auc_rows : all;
    auc_run r = {NULL, NULL, NULL, NULL, NULL};
    lcf_judge *judge = NULL;
    lcf_status status;

    if (lcf_prompt_need(&lcf_sources_get_options(sources)->prompt, false, NULL))
        n = 0;
    out->auc = NAN;
    out->auc_rows = n;
    if (!n)
        return LCF_OK;
    status = spread(&r, d, n, err);
    if (!status)
        status =
            lcf_judge_create(&judge, model, tokenizer, d, &lcf_sources_get_options(sources)->prompt,
                             options->context_n, lcf_pool_threads(pool), err);
    if (!status)
        status = lcf_judge_run(r.judged, judge, r.samples, n, pool, err);
    for (size_t i = 0; i < n && !status; i++)
        r.differences[i] = r.judged[i].difference;
    if (!status)
        out->auc = lcf_auc(r.differences, r.labels, n, r.scratch);
    lcf_judge_free(judge);
    free(r.samples);
    free(r.judged);
    free(r.differences);
    free(r.labels);
    free(r.scratch);
    return status;
}

/* ---- perplexity ---- */

typedef struct perplexity { /* rows gathered, and what they gave */
    lcf_probe *probe;
    const lcf_tokenizer *tokenizer;
    lcf_pool *pool;
    lcf_row rows[ROWS_PER_PASS];
    double nll[ROWS_PER_PASS];
    uint64_t targets_n[ROWS_PER_PASS];
    size_t n;
    double nll_sum;
    uint64_t targets_sum, bytes_sum;
    lcf_buf text; /* scratch */
} perplexity;

static lcf_status probe_row(void *arg, size_t task, size_t worker, lcf_err *err)
{
    perplexity *p = arg;
    const lcf_row *row = &p->rows[task];

    return lcf_probe_row(&p->nll[task], &p->targets_n[task], p->probe, worker, row->tokens.ids,
                         row->targets, row->tokens.n, err);
}

static lcf_status flush(perplexity *p, lcf_err *err)
{
    lcf_status status = lcf_pool_run(p->pool, p->n, probe_row, p, err);

    for (size_t i = 0; i < p->n && !status; i++) {
        p->nll_sum += p->nll[i];
        p->targets_sum += p->targets_n[i];
    }
    p->n = 0;
    return status;
}

/* The bytes that a row's targets spell. */
static void count_bytes(perplexity *p, const lcf_row *row)
{
    lcf_buf_reset(&p->text);
    for (size_t i = 0; i < row->tokens.n; i++)
        if (row->targets[i] >= 0)
            lcf_tokenizer_decode(&p->text, p->tokenizer, (const uint32_t *)&row->targets[i], 1);
    p->bytes_sum += p->text.len;
}

/* Takes over what `built` says of the next row. */
static lcf_status keep(perplexity *p, lcf_status built, lcf_err *err)
{
    if (built)
        return built;
    count_bytes(p, &p->rows[p->n]);
    if (p->text.status)
        return LCF_FAIL(err, p->text.status, "text of a held-out row");
    return ++p->n == ROWS_PER_PASS ? flush(p, err) : LCF_OK;
}

/* The figures of the rows kept since the last call. */
static lcf_status finish(double *value, double *bits_per_byte, uint64_t *tokens, perplexity *p,
                         lcf_err *err)
{
    lcf_status status = flush(p, err);

    *bits_per_byte = p->bytes_sum ? p->nll_sum / log(2.0) / (double)p->bytes_sum : NAN;
    *value = p->targets_sum ? exp(p->nll_sum / (double)p->targets_sum) : NAN;
    *tokens = p->targets_sum;
    p->nll_sum = 0.0;
    p->targets_sum = p->bytes_sum = 0;
    return status;
}

static lcf_status measure_cot(lcf_recgen_measures *out, perplexity *p, lcf_mixture *mixture,
                              const lcf_dataset *d, size_t n, lcf_err *err)
{
    size_t begin = d ? d->split_begin[LCF_VALID] : 0;
    size_t all = d ? d->split_begin[LCF_VALID + 1] - begin : 0;
    lcf_status status = LCF_OK;
    double unused;

    n = n < all ? n : all;
    for (size_t i = 0; i < n && !status; i++) {
        size_t sample = begin + (size_t)((double)i * (double)all / (double)n);
        status = keep(
            p, lcf_mixture_sample(&p->rows[p->n], mixture, LCF_SOURCE_EXPLAIN, sample, err), err);
    }
    return status ? status : finish(&out->cot_perplexity, &unused, &out->cot_tokens, p, err);
}

/* Row `at` of the held-out rows of all general sources, one after another. */
static lcf_status held_out(lcf_row *row, lcf_mixture *mixture, const lcf_sources *sources,
                           size_t at, lcf_err *err)
{
    size_t source = 0;

    for (;; source++) {
        lcf_source_info info = lcf_sources_info(sources, source);
        size_t held = info.spec->rec ? 0 : info.held_n;
        if (at < held)
            break;
        at -= held;
    }
    return lcf_mixture_held_out(row, mixture, source, at, err);
}

static lcf_status measure_general(lcf_recgen_measures *out, perplexity *p, lcf_mixture *mixture,
                                  const lcf_sources *sources, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;
    size_t all = 0;

    for (size_t i = 0; i < lcf_sources_n(sources); i++) {
        lcf_source_info info = lcf_sources_info(sources, i);
        all += info.spec->rec ? 0 : info.held_n;
    }
    n = n < all ? n : all;
    for (size_t i = 0; i < n && !status; i++) {
        size_t at = (size_t)((double)i * (double)all / (double)n);
        status = keep(p, held_out(&p->rows[p->n], mixture, sources, at, err), err);
    }
    return status ? status
                  : finish(&out->general_perplexity, &out->general_bits_per_byte,
                           &out->general_tokens, p, err);
}

static lcf_status measure_perplexities(lcf_recgen_measures *out, const lcf_llama *model,
                                       const lcf_tokenizer *tokenizer, lcf_mixture *mixture,
                                       const lcf_sources *sources,
                                       const lcf_measure_options *options, lcf_pool *pool,
                                       lcf_err *err)
{
    perplexity p = {.pool = pool, .tokenizer = tokenizer, .text = LCF_BUF_INIT};
    const bool explains = !lcf_prompt_need(&lcf_sources_get_options(sources)->prompt, true, NULL);
    lcf_status status =
        lcf_probe_create(&p.probe, model, options->context_n, lcf_pool_threads(pool), err);

    if (!status)
        status = measure_cot(out, &p, mixture, lcf_sources_dataset(sources),
                             explains ? options->cot_rows : 0, err);
    if (!status)
        status = measure_general(out, &p, mixture, sources, options->general_rows, err);
    for (size_t i = 0; i < ROWS_PER_PASS; i++)
        lcf_row_dispose(&p.rows[i]);
    lcf_buf_dispose(&p.text);
    lcf_probe_free(p.probe);
    return status;
}

/* ---- all ---- */

lcf_status lcf_recgen_measure(lcf_recgen_measures *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, lcf_mixture *mixture,
                              const lcf_sources *sources, const lcf_measure_options *options,
                              lcf_pool *pool, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    out->choice.accuracy = NAN;
    status = measure_auc(out, model, tokenizer, sources, options, pool, err);
    if (!status)
        status = measure_perplexities(out, model, tokenizer, mixture, sources, options, pool, err);
    if (!status && options->choice_dir)
        status = lcf_choice_measure(&out->choice, model, tokenizer, options->choice_dir,
                                    options->choice_rows, model->config.context_n, pool, err);
    return status;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *lcf_recgen_measures_json(const lcf_recgen_measures *m)
{
    const lcf_choice_result *c = &m->choice;
    json_t *json = json_pack("{s:o, s:I, s:o, s:I, s:o, s:o, s:I}", "auc", number(m->auc),
                             "auc_rows", (json_int_t)m->auc_rows, "cot_perplexity",
                             number(m->cot_perplexity), "cot_tokens", (json_int_t)m->cot_tokens,
                             "general_perplexity", number(m->general_perplexity),
                             "general_bits_per_byte", number(m->general_bits_per_byte),
                             "general_tokens", (json_int_t)m->general_tokens);

    if (json && c->rows &&
        json_object_set_new(json, "choice",
                            json_pack("{s:o, s:I, s:f, s:I, s:f, s:f}", "accuracy",
                                      number(c->accuracy), "rows", (json_int_t)c->rows, "shots",
                                      c->shots, "cut", (json_int_t)c->cut_n, "chance_low",
                                      c->chance_low, "chance_high", c->chance_high))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static double kept(const json_t *measures, const char *key)
{
    const json_t *value = json_object_get(measures, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static uint64_t kept_n(const json_t *measures, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(measures, key));
}

lcf_recgen_measures lcf_recgen_measures_of_json(const json_t *json)
{
    const json_t *choice = json_object_get(json, "choice");

    return (lcf_recgen_measures){
        .auc = kept(json, "auc"),
        .auc_rows = (size_t)kept_n(json, "auc_rows"),
        .cot_perplexity = kept(json, "cot_perplexity"),
        .cot_tokens = kept_n(json, "cot_tokens"),
        .general_perplexity = kept(json, "general_perplexity"),
        .general_bits_per_byte = kept(json, "general_bits_per_byte"),
        .general_tokens = kept_n(json, "general_tokens"),
        .choice = {.accuracy = kept(choice, "accuracy"),
                   .rows = (size_t)kept_n(choice, "rows"),
                   .shots = kept(choice, "shots"),
                   .cut_n = (size_t)kept_n(choice, "cut"),
                   .chance_low = kept(choice, "chance_low"),
                   .chance_high = kept(choice, "chance_high")},
    };
}
