/* Values with their uncertainty: see inference.h. Sums in double, in the order of units, then
 * clusters. */
#include "offline/eval/ope/inference.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054 /* the 97.5 % quantile of the standard normal distribution */
#define CHUNK 64              /* replicates between two looks at progress and the stop flag */

double lcf_ope_value(const lcf_ope_sums *s, lcf_ope_quantity quantity)
{
    double logged = quantity == LCF_OPE_LIFT ? s->reward : 0;

    return s->n > 0 && s->norm > 0 ? (s->base - logged) / s->n + s->correction / s->norm : NAN;
}

void lcf_ope_sum_clusters(lcf_ope_sums *out, size_t clusters_n, const lcf_ope_terms *t,
                          const double *reward, const uint32_t *cluster, size_t n)
{
    memset(out, 0, clusters_n * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        lcf_ope_sums *s = &out[cluster[i]];
        s->n++;
        s->base += t->base[i];
        s->correction += t->correction[i];
        s->norm += t->norm[i];
        s->reward += reward[i];
    }
}

static void add(lcf_ope_sums *to, const lcf_ope_sums *s, double times)
{
    to->n += times * s->n;
    to->base += times * s->base;
    to->correction += times * s->correction;
    to->norm += times * s->norm;
    to->reward += times * s->reward;
}

lcf_ope_estimate lcf_ope_normal(const lcf_ope_sums *clusters, size_t clusters_n,
                                lcf_ope_quantity quantity)
{
    lcf_ope_estimate out = {NAN, NAN, NAN, NAN, NAN, NAN};
    double logged = quantity == LCF_OPE_LIFT, base, ratio, squares = 0, g = 0;
    lcf_ope_sums all = {0, 0, 0, 0, 0};

    for (size_t c = 0; c < clusters_n; c++) {
        add(&all, &clusters[c], 1);
        g += clusters[c].n > 0;
    }
    out.value = lcf_ope_value(&all, quantity);
    if (isnan(out.value) || g < 2)
        return out;
    base = (all.base - logged * all.reward) / all.n;
    ratio = all.correction / all.norm;
    for (size_t c = 0; c < clusters_n; c++) {
        const lcf_ope_sums *s = &clusters[c];
        double influence = (s->base - logged * s->reward - base * s->n) / all.n +
                           (s->correction - ratio * s->norm) / all.norm;
        squares += influence * influence;
    }
    out.se = sqrt(squares * g / (g - 1));
    out.normal_low = out.value - Z95 * out.se;
    out.normal_high = out.value + Z95 * out.se;
    return out;
}

/* ---- bootstrap ---- */

#define PARTS (sizeof(lcf_ope_sums) / sizeof(double))

typedef struct job {
    size_t estimators_n, clusters_n, first;
    const lcf_ope_bootstrap_options *options;
    lcf_ope_sums *by_cluster; /* [clusters_n, estimators_n]: a cluster's sums lie together */
    lcf_ope_sums *totals;     /* [threads, estimators_n] */
    uint32_t *draws;          /* [threads, clusters_n] how often each cluster was drawn */
    double *values;           /* [estimators_n, LCF_OPE_QUANTITIES_N, replicates_n] */
} job;

/* to += times * from, n numbers */
static void add_times(double *restrict to, const double *restrict from, double times, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += times * from[i];
}

static lcf_status replicate(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const job *j = arg;
    size_t r = j->first + task, n = j->estimators_n;
    uint32_t *draws = j->draws + worker * j->clusters_n;
    lcf_ope_sums *totals = j->totals + worker * n;
    lcf_rng rng;

    (void)err;
    lcf_rng_seed(&rng, j->options->seed, r);
    memset(draws, 0, j->clusters_n * sizeof(*draws));
    memset(totals, 0, n * sizeof(*totals));
    for (size_t c = 0; c < j->clusters_n; c++)
        draws[lcf_rng_below(&rng, j->clusters_n)]++;
    for (size_t c = 0; c < j->clusters_n; c++)
        if (draws[c])
            add_times(&totals->n, &j->by_cluster[c * n].n, draws[c], n * PARTS);
    for (size_t e = 0; e < n; e++)
        for (size_t q = 0; q < LCF_OPE_QUANTITIES_N; q++)
            j->values[(e * LCF_OPE_QUANTITIES_N + q) * j->options->replicates_n + r] =
                lcf_ope_value(&totals[e], (lcf_ope_quantity)q);
    return LCF_OK;
}

static lcf_status run_replicates(job *j, lcf_pool *pool, lcf_err *err)
{
    lcf_progress *progress = j->options->progress;
    size_t n = j->options->replicates_n;

    for (j->first = 0; j->first < n; j->first += CHUNK) {
        size_t tasks = n - j->first < CHUNK ? n - j->first : CHUNK;
        lcf_status status;
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in the bootstrap; nothing was written");
        status = lcf_pool_run(pool, tasks, replicate, j, err);
        if (status)
            return status;
        if (progress)
            lcf_progress_update(progress, progress->done + tasks);
    }
    return LCF_OK;
}

static lcf_status prepare(job *j, const lcf_ope_sums *sums, size_t threads, lcf_err *err)
{
    size_t n = j->estimators_n, sums_n;

    if (lcf_mul_size(&sums_n, n, j->clusters_n))
        j->by_cluster = lcf_alloc(sums_n, sizeof(*j->by_cluster));
    j->totals = lcf_alloc(threads, n * sizeof(*j->totals));
    j->draws = lcf_alloc(threads, j->clusters_n * sizeof(*j->draws));
    j->values = lcf_alloc(n * LCF_OPE_QUANTITIES_N, j->options->replicates_n * sizeof(*j->values));
    if (!j->by_cluster || !j->totals || !j->draws || !j->values)
        return LCF_FAIL(err, LCF_ENOMEM, "bootstrap with %zu replicates", j->options->replicates_n);
    for (size_t c = 0; c < j->clusters_n; c++)
        for (size_t e = 0; e < n; e++)
            j->by_cluster[c * n + e] = sums[e * j->clusters_n + c];
    return LCF_OK;
}

lcf_status lcf_ope_bootstrap(lcf_ope_estimate *estimates, const lcf_ope_sums *sums,
                             size_t estimators_n, size_t clusters_n, lcf_pool *pool,
                             const lcf_ope_bootstrap_options *options, lcf_err *err)
{
    job j = {.estimators_n = estimators_n, .clusters_n = clusters_n, .options = options};
    lcf_status status = prepare(&j, sums, lcf_pool_threads(pool), err);

    if (!status)
        status = run_replicates(&j, pool, err);
    for (size_t e = 0; e < estimators_n * LCF_OPE_QUANTITIES_N && !status; e++) {
        lcf_interval i = lcf_stats_interval(j.values + e * options->replicates_n,
                                            options->replicates_n, LCF_OPE_CONFIDENCE);
        estimates[e].bootstrap_low = i.low;
        estimates[e].bootstrap_high = i.high;
    }
    free(j.by_cluster);
    free(j.totals);
    free(j.draws);
    free(j.values);
    return status;
}

/* ---- weights ---- */

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

double lcf_ope_ess(const double *weight, size_t n)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += weight[i];
        squares += weight[i] * weight[i];
    }
    return squares > 0 ? sum * sum / squares : NAN;
}

/* sorted: falling */
static void draw_lorenz(double *points, const double *sorted, size_t n, double sum)
{
    double held = 0;
    size_t i = 0;

    for (size_t p = 0; p < LCF_OPE_LORENZ_POINTS; p++) {
        for (; i < p * n / (LCF_OPE_LORENZ_POINTS - 1); i++)
            held += sorted[i];
        points[p] = sum > 0 ? held / sum : NAN;
    }
}

static void sum_weights(lcf_ope_weights *out, const double *sorted, size_t n)
{
    double sum = 0, top = 0;
    size_t top_n = (n + 99) / 100;

    for (size_t i = 0; i < n; i++) {
        sum += sorted[i];
        top += i < top_n ? sorted[i] : 0;
        out->zero_n += sorted[i] <= 0;
    }
    out->n = n;
    out->mean = sum / (double)n;
    out->max = sorted[0];
    out->top_share = sum > 0 ? top / sum : NAN;
    out->ess = lcf_ope_ess(sorted, n);
    draw_lorenz(out->lorenz, sorted, n, sum);
}

lcf_status lcf_ope_weigh(lcf_ope_weights *out, const double *weight, const uint32_t *cluster,
                         size_t n, size_t clusters_n, lcf_err *err)
{
    double *sorted = lcf_alloc(n, 2 * sizeof(*sorted));
    lcf_ope_sums *sums = lcf_alloc_zero(clusters_n, sizeof(*sums));
    lcf_status status = LCF_OK;

    memset(out, 0, sizeof(*out));
    if (sorted && sums) {
        for (size_t i = 0; i < n; i++) {
            lcf_ope_sums *s = &sums[cluster[i]];
            s->n++;
            s->norm++;
            s->correction += weight[i];
        }
        out->mean_se = lcf_ope_normal(sums, clusters_n, LCF_OPE_VALUE).se;
        memcpy(sorted, weight, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), descending);
        sum_weights(out, sorted, n);
    } else {
        status = LCF_FAIL(err, LCF_ENOMEM, "weights of %zu rows", n);
    }
    free(sorted);
    free(sums);
    return status;
}
