/*
 * Comparison of two next-item runs: see ranks_compare.h.
 *
 * Rows are reduced to sums per user, run, seed and measure; a replicate is then one weighted sum of
 * users. Replicate r draws from stream r of the seed, so the result is the same at any number of
 * threads.
 */
#include "offline/eval/ranks_compare.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "offline/eval/rank_measures.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 2
#define CONFIDENCE 0.95
#define CHUNK 64 /* replicates between two looks at the stop flag */

typedef struct comparison {
    const lcf_ranks *ranks[RUNS];
    const lcf_ranks_compare_options *options;
    bool seeds_paired;
    size_t users_n;
    size_t width;      /* of a user's sums: (seeds of A + seeds of B) * measures */
    double *sums;      /* [users_n, width] by run, seed, measure */
    double *user_rows; /* [users_n] */
    /* per thread */
    double *totals;    /* [threads, width] */
    uint32_t *weights; /* [threads, users_n] how often each user was drawn */
    double *values;    /* [replicates_n, RUNS, measures] */
    size_t first;      /* replicate of task 0 */
} comparison;

static lcf_status check_same(const lcf_ranks *a, const lcf_ranks *b, lcf_err *err)
{
    if (a->rows_n != b->rows_n)
        return LCF_FAIL(err, LCF_EINVAL, "A ranks %zu rows, B %zu: they are of other data",
                        a->rows_n, b->rows_n);
    if (!a->rows_n || !a->seeds_n || !b->seeds_n)
        return LCF_FAIL(err, LCF_EINVAL, "no row or no seed to compare");
    for (size_t i = 0; i < a->rows_n; i++)
        if (a->row[i] != b->row[i] || a->user[i] != b->user[i] || a->item[i] != b->item[i])
            return LCF_FAIL(err, LCF_EINVAL,
                            "row %zu is sample %llu in A and %llu in B, or of another user or "
                            "target: they are of other data",
                            i, (unsigned long long)a->row[i], (unsigned long long)b->row[i]);
    if (a->candidates_n != b->candidates_n || a->seen_masked != b->seen_masked)
        return LCF_FAIL(err, LCF_EINVAL,
                        "A ranks among %u items (%s the user's past), B among %u (%s): train both "
                        "with the same --rank-seen",
                        a->candidates_n, a->seen_masked ? "without" : "with", b->candidates_n,
                        b->seen_masked ? "without" : "with");
    return LCF_OK;
}

/* Numbers users 0, 1, ... in order of appearance. users [rows_n]. */
static lcf_status number_users(uint32_t *users, size_t *users_n, const lcf_ranks *r, lcf_err *err)
{
    uint32_t largest = 0, *number;

    for (size_t i = 0; i < r->rows_n; i++)
        largest = r->user[i] > largest ? r->user[i] : largest;
    number = lcf_alloc_zero((size_t)largest + 1, sizeof(*number));
    if (!number)
        return LCF_FAIL(err, LCF_ENOMEM, "%u users", largest);
    *users_n = 0;
    for (size_t i = 0; i < r->rows_n; i++) {
        if (!number[r->user[i]])
            number[r->user[i]] = (uint32_t)++ * users_n;
        users[i] = number[r->user[i]] - 1;
    }
    free(number);
    return LCF_OK;
}

static void add_rows(comparison *c, const uint32_t *users)
{
    size_t column = 0;

    for (size_t i = 0; i < c->ranks[0]->rows_n; i++)
        c->user_rows[users[i]] += 1.0;
    for (size_t run = 0; run < RUNS; run++)
        for (size_t s = 0; s < c->ranks[run]->seeds_n; s++, column += LCF_RANK_MEASURES_N) {
            const uint32_t *ranks = c->ranks[run]->ranks + s * c->ranks[run]->rows_n;

            for (size_t i = 0; i < c->ranks[run]->rows_n; i++)
                for (int m = 0; m < LCF_RANK_MEASURES_N; m++)
                    c->sums[users[i] * c->width + column + (size_t)m] +=
                        lcf_rank_value((lcf_rank_measure)m, ranks[i]);
        }
}

static lcf_status prepare(comparison *c, size_t threads, lcf_err *err)
{
    const lcf_ranks *a = c->ranks[0], *b = c->ranks[1];
    uint32_t *users = lcf_alloc(a->rows_n, sizeof(*users));
    size_t n = 0, of_threads = 0;
    lcf_status status;

    c->width = (a->seeds_n + b->seeds_n) * LCF_RANK_MEASURES_N;
    c->seeds_paired =
        a->seeds_n == b->seeds_n && !memcmp(a->seeds, b->seeds, a->seeds_n * sizeof(*a->seeds));
    if (!users)
        return LCF_FAIL(err, LCF_ENOMEM, "users of %zu rows", a->rows_n);
    status = number_users(users, &c->users_n, a, err);
    if (!status && lcf_mul_size(&n, c->users_n, c->width) &&
        lcf_mul_size(&of_threads, c->users_n, threads)) {
        c->sums = lcf_alloc_zero(n, sizeof(*c->sums));
        c->user_rows = lcf_alloc_zero(c->users_n, sizeof(*c->user_rows));
        c->totals = lcf_alloc(threads * c->width, sizeof(*c->totals));
        c->weights = lcf_alloc(of_threads, sizeof(*c->weights));
        c->values =
            lcf_alloc(c->options->replicates_n + 1, RUNS * LCF_RANK_MEASURES_N * sizeof(double));
    }
    if (!status && (!c->sums || !c->user_rows || !c->totals || !c->weights || !c->values))
        status = LCF_FAIL(err, LCF_ENOMEM, "sums of %zu users", c->users_n);
    if (!status)
        add_rows(c, users);
    free(users);
    return status;
}

/* ---- replicates ---- */

/* Measures of both runs under weights of users and draws of seeds: out [RUNS, measures]. */
static void measure(double *out, const comparison *c, double *totals, const uint32_t *weights,
                    const uint32_t *const draws[RUNS])
{
    const double *column = totals;
    double rows = 0;

    memset(totals, 0, c->width * sizeof(*totals));
    for (size_t u = 0; u < c->users_n; u++) {
        const double w = weights[u], *sums = c->sums + u * c->width;

        if (!weights[u])
            continue;
        rows += w * c->user_rows[u];
        for (size_t i = 0; i < c->width; i++)
            totals[i] += w * sums[i];
    }
    memset(out, 0, RUNS * LCF_RANK_MEASURES_N * sizeof(*out));
    for (size_t run = 0; run < RUNS; run++)
        for (size_t s = 0; s < c->ranks[run]->seeds_n; s++, column += LCF_RANK_MEASURES_N)
            for (size_t m = 0; m < LCF_RANK_MEASURES_N; m++)
                out[run * LCF_RANK_MEASURES_N + m] +=
                    draws[run][s] * column[m] / (rows * (double)c->ranks[run]->seeds_n);
}

static void draw_seeds(uint32_t *draws, lcf_rng *rng, size_t seeds_n, bool fixed)
{
    for (size_t s = 0; s < seeds_n; s++)
        draws[s] = fixed;
    for (size_t s = 0; s < seeds_n && !fixed; s++)
        draws[lcf_rng_below(rng, seeds_n)]++;
}

static lcf_status replicate(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const comparison *c = arg;
    const size_t r = c->first + task;
    uint32_t *weights = c->weights + worker * c->users_n;
    uint32_t *draws[RUNS];
    lcf_status status = LCF_OK;
    lcf_rng rng;

    for (size_t run = 0; run < RUNS; run++)
        draws[run] = lcf_alloc(c->ranks[run]->seeds_n, sizeof(**draws));
    if (!draws[0] || !draws[1]) {
        status = LCF_FAIL(err, LCF_ENOMEM, "draws of seeds");
        goto done;
    }
    lcf_rng_seed(&rng, c->options->seed, r);
    memset(weights, 0, c->users_n * sizeof(*weights));
    for (size_t u = 0; u < c->users_n; u++)
        weights[lcf_rng_below(&rng, c->users_n)]++;
    draw_seeds(draws[0], &rng, c->ranks[0]->seeds_n, c->options->seeds_fixed);
    if (c->seeds_paired)
        memcpy(draws[1], draws[0], c->ranks[0]->seeds_n * sizeof(**draws));
    else
        draw_seeds(draws[1], &rng, c->ranks[1]->seeds_n, c->options->seeds_fixed);
    measure(c->values + r * RUNS * LCF_RANK_MEASURES_N, c, c->totals + worker * c->width, weights,
            (const uint32_t *const *)draws);
done:
    free(draws[0]);
    free(draws[1]);
    return status;
}

static lcf_status run_replicates(comparison *c, lcf_pool *pool, lcf_err *err)
{
    const size_t n = c->options->replicates_n;
    lcf_status status = LCF_OK;

    for (c->first = 0; c->first < n && !status; c->first += CHUNK) {
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in the bootstrap");
        status = lcf_pool_run(pool, n - c->first < CHUNK ? n - c->first : CHUNK, replicate, c, err);
    }
    return status;
}

/* ---- the result ---- */

/* The rows as they are: every user and seed once. */
static lcf_status points(double *out, const comparison *c, lcf_err *err)
{
    const size_t seeds_n = c->ranks[0]->seeds_n + c->ranks[1]->seeds_n;
    uint32_t *once = lcf_alloc(seeds_n, sizeof(*once));
    const uint32_t *const draws[RUNS] = {once, once ? once + c->ranks[0]->seeds_n : NULL};

    if (!once)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu seeds", seeds_n);
    for (size_t i = 0; i < seeds_n; i++)
        once[i] = 1;
    for (size_t u = 0; u < c->users_n; u++)
        c->weights[u] = 1;
    measure(out, c, c->totals, c->weights, draws);
    free(once);
    return LCF_OK;
}

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* One measure: both values, the difference, its interval and p-value. scratch [replicates_n]. */
static json_t *measure_json(const comparison *c, const double *point, size_t m, double *scratch)
{
    const double a = point[m], b = point[LCF_RANK_MEASURES_N + m];
    const size_t n = c->options->replicates_n;
    lcf_interval interval;

    for (size_t r = 0; r < n; r++) {
        const double *v = c->values + r * RUNS * LCF_RANK_MEASURES_N;

        scratch[r] = v[LCF_RANK_MEASURES_N + m] - v[m];
    }
    interval = lcf_stats_interval(scratch, n, CONFIDENCE);
    return json_pack("{s:f, s:f, s:f, s:o, s:o, s:o}", "a", a, "b", b, "difference", b - a, "low",
                     real(interval.low), "high", real(interval.high), "p",
                     real(lcf_stats_p_value(scratch, n)));
}

static json_t *seeds_json(const lcf_ranks *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->seeds_n && list; i++)
        if (json_array_append_new(list, json_integer((json_int_t)r->seeds[i]))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static lcf_status make_json(json_t **out, const comparison *c, lcf_err *err)
{
    double point[RUNS * LCF_RANK_MEASURES_N];
    double *scratch = lcf_alloc(c->options->replicates_n + 1, sizeof(*scratch));
    json_t *measures = json_object();
    lcf_status status = points(point, c, err);
    int failed = !scratch || !measures;

    for (size_t m = 0; m < LCF_RANK_MEASURES_N && !status && !failed; m++)
        failed |= json_object_set_new(measures, lcf_rank_measure_name((lcf_rank_measure)m),
                                      measure_json(c, point, m, scratch));
    free(scratch);
    if (status || failed) {
        json_decref(measures);
        return status ? status : LCF_FAIL(err, LCF_ENOMEM, "comparison");
    }
    *out = json_pack("{s:i, s:I, s:I, s:I, s:b, s:o, s:o, s:b, s:I, s:I, s:f, s:o}", "version", 1,
                     "rows", (json_int_t)c->ranks[0]->rows_n, "users", (json_int_t)c->users_n,
                     "candidates", (json_int_t)c->ranks[0]->candidates_n, "seen_masked",
                     (int)c->ranks[0]->seen_masked, "seeds_a", seeds_json(c->ranks[0]), "seeds_b",
                     seeds_json(c->ranks[1]), "seeds_fixed", (int)c->options->seeds_fixed,
                     "replicates", (json_int_t)c->options->replicates_n, "seed",
                     (json_int_t)c->options->seed, "confidence", CONFIDENCE, "measures", measures);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "comparison");
}

lcf_status lcf_ranks_compare(json_t **out, const lcf_ranks *a, const lcf_ranks *b,
                             const lcf_ranks_compare_options *options, lcf_err *err)
{
    comparison c = {.ranks = {a, b}, .options = options};
    lcf_pool *pool = NULL;
    lcf_status status = check_same(a, b, err);

    *out = NULL;
    if (!status)
        status = lcf_pool_create(&pool, options->threads, err);
    if (!status)
        status = prepare(&c, lcf_pool_threads(pool), err);
    if (!status)
        status = run_replicates(&c, pool, err);
    if (!status)
        status = make_json(out, &c, err);
    lcf_pool_free(pool);
    free(c.sums);
    free(c.user_rows);
    free(c.totals);
    free(c.weights);
    free(c.values);
    return status;
}
