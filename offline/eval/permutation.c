/*
 * Each user becomes two, one with the rows as A scores them and one as B does: user 2 u + arm. A
 * mixture is then a weighting by 0 and 1 of the rows of both arms, sorted once, and the other
 * mixture is its complement.
 */
#include "offline/eval/permutation.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/weighted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 8                        /* tasks between two looks at progress and the stop flag */
#define STREAM_BIT (UINT64_C(1) << 63) /* other streams than those of the bootstrap */

typedef struct job {
    const lcf_eval_table *table;
    const lcf_permutation_options *options;
    lcf_weighted_users users;
    lcf_weighted_run *runs; /* [seeds_n] both arms' rows */
    uint8_t *weights;       /* [threads, LCF_ARMS, 2 users_n, LCF_LANES] */
    double *lifts;          /* [permutations_n + 1, LCF_METRICS_N]; the first is the one seen */
    size_t first;           /* block of task 0 */
} job;

/* Which of its two arms each user gives to A, one bit of 64 after the other; permutation 0 is the
 * arms as they are. */
static void draw_lane(uint8_t *weights[LCF_ARMS], const job *j, size_t lane, size_t permutation)
{
    uint64_t bits = 0;
    lcf_rng rng;

    lcf_rng_seed(&rng, j->options->seed, STREAM_BIT | permutation);
    for (size_t u = 0; u < j->table->users_n; u++) {
        size_t at = 2 * u * LCF_LANES + lane;
        uint8_t swap;
        bits = u % 64 ? bits >> 1 : lcf_rng_u64(&rng);
        swap = permutation ? bits & 1 : 0;
        weights[0][at] = weights[1][at + LCF_LANES] = !swap;
        weights[1][at] = weights[0][at + LCF_LANES] = swap;
    }
}

static lcf_status permute_block(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const job *j = arg;
    size_t first = (j->first + task) * LCF_LANES, n = j->options->permutations_n + 1;
    size_t block_bytes = 2 * j->table->users_n * LCF_LANES, seeds_n = j->table->seeds_n[0];
    uint8_t *weights[LCF_ARMS];
    double measures[LCF_METRICS_N * LCF_LANES];

    (void)err;
    for (size_t a = 0; a < LCF_ARMS; a++)
        weights[a] = j->weights + (worker * LCF_ARMS + a) * block_bytes;
    for (size_t k = 0; k < LCF_LANES; k++)
        draw_lane(weights, j, k, first + k);
    for (size_t s = 0; s < seeds_n; s++)
        for (size_t a = 0; a < LCF_ARMS; a++) {
            lcf_weighted_measures(measures, &j->runs[s], weights[a]);
            for (size_t k = 0; k < LCF_LANES && first + k < n; k++)
                for (size_t m = 0; m < LCF_METRICS_N; m++)
                    j->lifts[(first + k) * LCF_METRICS_N + m] +=
                        (a ? 1 : -1) * measures[m * LCF_LANES + k] / (double)seeds_n;
        }
    return LCF_OK;
}

/* The rows of both arms, A's first. */
typedef struct doubled {
    size_t n; /* 2 rows_n */
    float *scores;
    uint8_t *labels, *gains;
    uint32_t *users, *items;
    lcf_candidates candidates;
} doubled;

static lcf_status double_rows(doubled *d, const lcf_eval_table *t, size_t list_k, lcf_err *err)
{
    *d = (doubled){.n = 2 * t->rows_n};
    d->scores = lcf_alloc(d->n + 1, sizeof(*d->scores));
    d->labels = lcf_alloc(d->n + 1, 1);
    d->gains = lcf_alloc(d->n + 1, 1);
    d->users = lcf_alloc(d->n + 1, sizeof(*d->users));
    d->items = lcf_alloc(d->n + 1, sizeof(*d->items));
    if (!d->scores || !d->labels || !d->gains || !d->users || !d->items)
        return LCF_FAIL(err, LCF_ENOMEM, "permutations of %zu rows", t->rows_n);
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t i = 0, at = a * t->rows_n; i < t->rows_n; i++, at++) {
            d->labels[at] = t->label[i];
            d->gains[at] = t->gain ? t->gain[i] : t->label[i];
            d->users[at] = 2 * t->user[i] + (uint32_t)a;
            d->items[at] = t->items.of_row ? t->items.of_row[i] : 0;
        }
    if (!list_k)
        return LCF_OK;
    return lcf_candidates_init(&d->candidates, d->gains, d->users, d->n, 2 * t->users_n, list_k,
                               err);
}

static void dispose_doubled(doubled *d)
{
    free(d->scores);
    free(d->labels);
    free(d->gains);
    free(d->users);
    free(d->items);
    lcf_candidates_dispose(&d->candidates);
}

static lcf_status add_lists(lcf_weighted_run *r, const doubled *d, const lcf_eval_table *t,
                            lcf_err *err)
{
    lcf_list_items items = t->items;
    lcf_list_values values;
    lcf_status status;

    items.of_row = items.of_row ? d->items : NULL;
    status = lcf_lists_measure(&values, &d->candidates, d->scores, &items, err);
    if (status)
        return status;
    status = lcf_weighted_run_add_lists(r, &values, err);
    lcf_list_values_dispose(&values);
    return status;
}

static lcf_status prepare_runs(job *j, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    size_t list_k = j->options->list_k;
    doubled d;
    lcf_status status = double_rows(&d, t, list_k, err);

    j->runs = lcf_alloc_zero(t->seeds_n[0], sizeof(*j->runs));
    if (!status && !j->runs)
        status = LCF_FAIL(err, LCF_ENOMEM, "permutations of %zu seeds", t->seeds_n[0]);
    if (!status)
        status = lcf_weighted_users_init(&j->users, d.labels, d.users, d.n, 2 * t->users_n, err);
    j->users.orders_only = t->orders_only;
    for (size_t s = 0; s < t->seeds_n[0] && !status; s++) {
        for (size_t a = 0; a < LCF_ARMS; a++)
            memcpy(d.scores + a * t->rows_n, lcf_eval_table_run(t, a, s),
                   t->rows_n * sizeof(*d.scores));
        status = lcf_weighted_run_init(&j->runs[s], &j->users, d.scores, d.labels, d.users, err);
        if (!status && list_k)
            status = add_lists(&j->runs[s], &d, t, err);
    }
    dispose_doubled(&d);
    return status;
}

static lcf_status prepare(job *j, size_t threads, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    size_t lifts_n, bytes;
    lcf_status status;

    if (t->rows_n >= (size_t)1 << 31)
        return LCF_FAIL(err, LCF_ELIMIT, "permutations of %zu rows, at most 2^31 - 1", t->rows_n);
    status = prepare_runs(j, err);
    if (status)
        return status;
    if (!lcf_mul_size(&bytes, t->users_n, threads * LCF_ARMS * 2 * LCF_LANES) ||
        !lcf_mul_size(&lifts_n, j->options->permutations_n + 1, LCF_METRICS_N))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu permutations", j->options->permutations_n);
    j->weights = lcf_alloc(bytes + 1, 1);
    j->lifts = lcf_alloc_zero(lifts_n, sizeof(*j->lifts));
    if (!j->weights || !j->lifts)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu permutations", j->options->permutations_n);
    return LCF_OK;
}

static lcf_status run(job *j, lcf_pool *pool, lcf_err *err)
{
    size_t blocks_n = j->options->permutations_n / LCF_LANES + 1;
    lcf_progress *progress = j->options->progress;
    uint64_t before = progress ? progress->done : 0;

    for (j->first = 0; j->first < blocks_n; j->first += CHUNK) {
        size_t tasks = blocks_n - j->first < CHUNK ? blocks_n - j->first : CHUNK;
        size_t done = (j->first + tasks) * LCF_LANES, n = j->options->permutations_n;
        lcf_status status;
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in the permutations; nothing was written");
        status = lcf_pool_run(pool, tasks, permute_block, j, err);
        if (status)
            return status;
        if (progress)
            lcf_progress_update(progress, before + (done < n ? done : n));
    }
    return LCF_OK;
}

/* Lifts that differ from the one seen by rounding alone are as large. */
static double p_value(const double *lifts, size_t n, lcf_metric m)
{
    double seen = fabs(lifts[m]);
    size_t as_large = 0;

    if (isnan(seen))
        return NAN;
    for (size_t i = 1; i <= n; i++)
        as_large += fabs(lifts[i * LCF_METRICS_N + m]) >= seen - 1e-12;
    return (double)(1 + as_large) / (double)(1 + n);
}

lcf_status lcf_permutation_test(double *p, const lcf_eval_table *t, lcf_pool *pool,
                                const lcf_permutation_options *options, lcf_err *err)
{
    job j = {.table = t, .options = options};
    lcf_status status;

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        p[m] = NAN;
    if (!options->permutations_n || t->seeds_n[0] != t->seeds_n[1])
        return LCF_OK;
    status = prepare(&j, lcf_pool_threads(pool), err);
    if (!status)
        status = run(&j, pool, err);
    for (size_t m = 0; m < LCF_METRICS_N && !status; m++)
        p[m] = p_value(j.lifts, options->permutations_n, (lcf_metric)m);
    for (size_t s = 0; j.runs && s < t->seeds_n[0]; s++)
        lcf_weighted_run_dispose(&j.runs[s]);
    free(j.runs);
    lcf_weighted_users_dispose(&j.users);
    free(j.weights);
    free(j.lifts);
    return status;
}
