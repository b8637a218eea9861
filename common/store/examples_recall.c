/*
 * How far an index that is not exact must be searched: measured against the definition, on
 * examples' own rows, as `retrieve` asks, and on rows with the target of another one, as a request
 * does for its candidates. The latter need more: no example is near both of their halves.
 */
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/store/examples_index.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLE = 256, SETTING_FIRST = 16 };

typedef struct sample {
    lcf_example_query *queries;
    uint32_t *exact, *found; /* [n, k] */
    size_t n;                /* even: own rows, odd: with another target */
} sample;

static lcf_status draw(sample *s, const lcf_examples *e, const lcf_example_options *options,
                       lcf_err *err)
{
    lcf_rng rng;

    s->n = e->n < SAMPLE ? e->n : SAMPLE;
    s->queries = lcf_alloc(s->n + 1, sizeof(*s->queries));
    s->exact = lcf_alloc(s->n + 1, options->k * sizeof(*s->exact));
    s->found = lcf_alloc(s->n + 1, options->k * sizeof(*s->found));
    if (!s->queries || !s->exact || !s->found)
        return LCF_FAIL(err, LCF_ENOMEM, "sample of %zu examples", s->n);
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < s->n; i++) {
        const size_t x = (size_t)lcf_rng_below(&rng, e->n);
        const size_t y = i % 2 ? (size_t)lcf_rng_below(&rng, e->n) : x;

        s->queries[i] =
            (lcf_example_query){e->user[x], e->time[x], e->sample_hash[x],
                                e->history_vec + x * e->text_dim, e->target_vec + y * e->text_dim};
    }
    return lcf_examples_search_exact(s->exact, NULL, e, s->queries, s->n, options, err);
}

static double recall_of(const sample *s, uint32_t k, size_t first)
{
    size_t wanted = 0, found = 0;

    for (size_t i = first; i < s->n; i += 2)
        for (size_t j = i * k; j < (i + 1) * k; j++) {
            wanted += s->exact[j] != LCF_EXAMPLE_NONE;
            for (size_t l = i * k; l < (i + 1) * k && s->exact[j] != LCF_EXAMPLE_NONE; l++)
                found += s->found[l] == s->exact[j];
        }
    return wanted ? (double)found / (double)wanted : 1.0;
}

static lcf_status try_setting(lcf_examples_recall *out, lcf_examples *e, sample *s,
                              const lcf_example_options *options, lcf_err *err)
{
    double begin;
    lcf_status status;

    e->setting = out->setting;
    for (unsigned label = 0; label < 2; label++)
        lcf_faiss_set(((lcf_label_index *)e->faiss[label])->faiss, e->setting);
    begin = lcf_clock_s();
    status = lcf_examples_search(s->found, NULL, e, s->queries, s->n, options, err);
    out->query_us = 1e6 * (lcf_clock_s() - begin) / (double)(s->n ? s->n : 1);
    out->recall = status ? 0.0 : fmin(recall_of(s, options->k, 0), recall_of(s, options->k, 1));
    return status;
}

lcf_status lcf_examples_measure(lcf_examples_recall *out, lcf_examples *e, lcf_err *err)
{
    const lcf_example_options options = LCF_EXAMPLE_OPTIONS_INIT;
    sample s = {.n = 0};
    lcf_status status;

    *out = (lcf_examples_recall){.setting = SETTING_FIRST, .recall = 1.0};
    if (e->kind == LCF_FAISS_FLAT)
        return LCF_OK;
    status = draw(&s, e, &options, err);
    out->queries_n = (uint32_t)s.n;
    if (!status)
        status = try_setting(out, e, &s, &options, err);
    while (!status && out->recall < LCF_EXAMPLES_RECALL &&
           2 * out->setting <= LCF_EXAMPLES_SETTING_MAX) {
        out->setting *= 2;
        status = try_setting(out, e, &s, &options, err);
    }
    free(s.queries);
    free(s.exact);
    free(s.found);
    return status;
}
