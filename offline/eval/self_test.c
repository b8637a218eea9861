/* The A/A self-test. Seeds are kept: which run a user's rows are from is all that is random. */
#include "offline/eval/self_test.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/bootstrap.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BIT (UINT64_C(1) << 62) /* other streams than those of the bootstrap */
#define CONFIDENCE 0.95

typedef struct aa {
    lcf_eval_table table; /* the rows of the comparison; the scores are its own */
    uint8_t *swap;        /* [users_n] */
    double *lifts;        /* [LCF_SELF_TEST_REPLICATES] */
} aa;

static lcf_status init(aa *a, const lcf_eval_table *t, lcf_err *err)
{
    size_t n = t->seeds_n[0] * t->rows_n; /* the table has as many scores: no overflow */
    bool ok;

    *a = (aa){.table = *t};
    a->swap = lcf_alloc(t->users_n + 1, 1);
    a->lifts = lcf_alloc(LCF_SELF_TEST_REPLICATES, sizeof(*a->lifts));
    ok = a->swap && a->lifts;
    for (size_t k = 0; k < LCF_ARMS; k++) {
        a->table.scores[k] = lcf_alloc(n + 1, sizeof(float));
        ok = ok && a->table.scores[k];
    }
    return ok ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "self-test of %zu rows", t->rows_n);
}

static void dispose(aa *a)
{
    for (size_t k = 0; k < LCF_ARMS; k++)
        free(a->table.scores[k]);
    free(a->swap);
    free(a->lifts);
}

static void mix_arms(aa *a, const lcf_eval_table *t, uint64_t seed, size_t resample)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, STREAM_BIT | resample);
    for (size_t u = 0; u < t->users_n; u++)
        a->swap[u] = lcf_rng_below(&rng, LCF_ARMS) == 1;
    for (size_t s = 0; s < t->seeds_n[0]; s++)
        for (size_t i = 0; i < t->rows_n; i++)
            for (size_t k = 0; k < LCF_ARMS; k++)
                a->table.scores[k][s * t->rows_n + i] =
                    t->scores[k ^ a->swap[t->user[i]]][s * t->rows_n + i];
}

static void count(lcf_self_test *out, aa *a, const lcf_bootstrap *b, lcf_metric m)
{
    lcf_interval i;

    for (size_t r = 0; r < b->replicates_n; r++)
        a->lifts[r] = lcf_bootstrap_value(b, r, 1, m) - lcf_bootstrap_value(b, r, 0, m);
    i = lcf_stats_interval(a->lifts, b->replicates_n, CONFIDENCE);
    out->defined_n[m] += !isnan(i.low);
    out->rejected_n[m] += i.low > 0 || i.high < 0;
}

lcf_status lcf_self_test_run(lcf_self_test *out, const lcf_eval_table *t, lcf_pool *pool,
                             size_t resamples_n, uint64_t seed, size_t list_k,
                             lcf_progress *progress, lcf_err *err)
{
    lcf_bootstrap_options options = {LCF_SELF_TEST_REPLICATES, 0, true, false, list_k, NULL};
    lcf_bootstrap b;
    aa a;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    if (!resamples_n || t->seeds_n[0] != t->seeds_n[1])
        return LCF_OK;
    status = init(&a, t, err);
    for (size_t k = 0; k < resamples_n && !status; k++) {
        mix_arms(&a, t, seed, k);
        options.seed = seed + k;
        status = lcf_bootstrap_run(&b, &a.table, pool, &options, err);
        if (status)
            break;
        for (size_t m = 0; m < LCF_METRICS_N; m++)
            count(out, &a, &b, (lcf_metric)m);
        lcf_bootstrap_dispose(&b);
        if (progress)
            lcf_progress_update(progress, progress->done + 1);
    }
    dispose(&a);
    out->resamples_n = status ? 0 : resamples_n;
    return status;
}
