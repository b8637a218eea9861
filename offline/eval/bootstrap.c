/*
 * Paired bootstrap over users and seeds, sixteen replicates to a task, and the jackknife over
 * groups of users by the same walk with weights 0 and 1.
 */
#include "offline/eval/bootstrap.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/weighted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 8 /* tasks between two looks at progress and the stop flag */

const lcf_metric_info LCF_METRIC_INFO[LCF_METRICS_N] = {
#define METRIC_ROW(id, name, title, higher) {name, title, higher},
    LCF_METRIC_LIST(METRIC_ROW)
#undef METRIC_ROW
};

typedef struct job {
    const lcf_eval_table *table;
    const lcf_bootstrap_options *options;
    lcf_bootstrap *out;
    lcf_weighted_users users;
    lcf_candidates candidates; /* where there are lists */
    lcf_weighted_run *runs[LCF_ARMS];
    size_t seeds_max;
    uint8_t *weights; /* [threads, users_n, LCF_LANES] how often each user counts */
    uint32_t *draws;  /* [threads, LCF_LANES, LCF_ARMS, seeds_max] how often each seed was drawn */
    size_t first;     /* block of task 0 */
} job;

typedef struct block {
    uint8_t *weights; /* [users_n, LCF_LANES] */
    uint32_t *draws;  /* [LCF_LANES, LCF_ARMS, seeds_max] */
} block;

static block block_of(const job *j, size_t worker)
{
    return (block){j->weights + worker * j->table->users_n * LCF_LANES,
                   j->draws + worker * LCF_LANES * LCF_ARMS * j->seeds_max};
}

/* Means over the drawn seeds of the first lanes_n lanes; a seed that no lane drew is not computed.
 * out [lanes_n, LCF_ARMS, LCF_METRICS_N] */
static void arm_means(double *out, const job *j, size_t arm, const block *b, size_t lanes_n)
{
    size_t seeds_n = j->table->seeds_n[arm];
    double measures[LCF_METRICS_N * LCF_LANES];

    for (size_t k = 0; k < lanes_n; k++)
        memset(out + (k * LCF_ARMS + arm) * LCF_METRICS_N, 0, LCF_METRICS_N * sizeof(*out));
    for (size_t s = 0; s < seeds_n; s++) {
        uint32_t any = 0;
        for (size_t k = 0; k < lanes_n; k++)
            any |= b->draws[(k * LCF_ARMS + arm) * j->seeds_max + s];
        if (!any)
            continue;
        lcf_weighted_measures(measures, &j->runs[arm][s], b->weights);
        for (size_t k = 0; k < lanes_n; k++) {
            uint32_t drawn = b->draws[(k * LCF_ARMS + arm) * j->seeds_max + s];
            for (size_t m = 0; m < LCF_METRICS_N && drawn; m++)
                out[(k * LCF_ARMS + arm) * LCF_METRICS_N + m] +=
                    drawn * measures[m * LCF_LANES + k] / (double)seeds_n;
        }
    }
}

static void both_means(double *out, const job *j, const block *b, size_t lanes_n)
{
    for (size_t a = 0; a < LCF_ARMS; a++)
        arm_means(out, j, a, b, lanes_n);
}

static void keep_seeds(const job *j, const block *b)
{
    for (size_t i = 0; i < LCF_LANES * LCF_ARMS * j->seeds_max; i++)
        b->draws[i] = 1;
}

static void draw_seeds(lcf_rng *rng, uint32_t *draws, size_t seeds_n)
{
    memset(draws, 0, seeds_n * sizeof(*draws));
    for (size_t s = 0; s < seeds_n; s++)
        draws[lcf_rng_below(rng, seeds_n)]++;
}

static void draw_users(lcf_rng *rng, uint8_t *weights, size_t stride, size_t users_n)
{
    for (size_t u = 0; u < users_n; u++)
        weights[u * stride] = 0;
    for (size_t u = 0; u < users_n; u++) {
        uint8_t *w = &weights[lcf_rng_below(rng, users_n) * stride];
        *w = (uint8_t)(*w + (*w < LCF_WEIGHT_MAX)); /* never met: below 256 users it cannot be
                                                       passed, above it has a chance under 1e-500 */
    }
}

static void draw_lane(const job *j, const block *b, size_t lane, size_t replicate)
{
    const lcf_eval_table *t = j->table;
    uint32_t *draws = b->draws + lane * LCF_ARMS * j->seeds_max;
    lcf_rng rng;

    lcf_rng_seed(&rng, j->options->seed, replicate);
    draw_users(&rng, b->weights + lane, LCF_LANES, t->users_n);
    if (j->options->seeds_fixed)
        return;
    draw_seeds(&rng, draws, t->seeds_n[0]);
    if (t->seeds_paired)
        memcpy(draws + j->seeds_max, draws, t->seeds_n[0] * sizeof(*draws));
    else
        draw_seeds(&rng, draws + j->seeds_max, t->seeds_n[1]);
}

static size_t lanes_of(size_t n, size_t first)
{
    return n - first < LCF_LANES ? n - first : LCF_LANES;
}

static lcf_status replicate_block(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const job *j = arg;
    block b = block_of(j, worker);
    size_t first = (j->first + task) * LCF_LANES;
    size_t lanes_n = lanes_of(j->out->replicates_n, first);

    (void)err;
    keep_seeds(j, &b);
    for (size_t k = 0; k < LCF_LANES; k++)
        draw_lane(j, &b, k, first + k);
    both_means(j->out->values + first * LCF_ARMS * LCF_METRICS_N, j, &b, lanes_n);
    return LCF_OK;
}

/* Lane k counts every user but those of group first + k. */
static lcf_status leave_out_block(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const job *j = arg;
    block b = block_of(j, worker);
    size_t first = task * LCF_LANES, users_n = j->table->users_n;

    (void)err;
    keep_seeds(j, &b);
    for (size_t u = 0; u < users_n; u++)
        for (size_t k = 0; k < LCF_LANES; k++)
            b.weights[u * LCF_LANES + k] = u % j->out->left_out_n != first + k;
    both_means(j->out->left_out + first * LCF_ARMS * LCF_METRICS_N, j, &b,
               lanes_of(j->out->left_out_n, first));
    return LCF_OK;
}

/* Measures of lists into the run; those without replicates straight into point. */
static lcf_status prepare_lists(lcf_weighted_run *r, double *point, const job *j,
                                const float *scores, lcf_err *err)
{
    lcf_list_values values;
    lcf_status status = lcf_lists_measure(&values, &j->candidates, scores, &j->table->items, err);

    if (status)
        return status;
    status = lcf_weighted_run_add_lists(r, &values, err);
    memcpy(point + LCF_METRIC_LISTS, values.all, sizeof(values.all));
    lcf_list_values_dispose(&values);
    return status;
}

static lcf_status prepare_run(job *j, size_t arm, size_t s, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    lcf_weighted_run *r = &j->runs[arm][s];
    const float *scores = lcf_eval_table_run(t, arm, s);
    double *point = j->out->point[arm] + s * LCF_METRICS_N;
    double measures[LCF_METRICS_N * LCF_LANES];
    lcf_status status = lcf_weighted_run_init(r, &j->users, scores, t->label, t->user, err);

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        point[m] = NAN;
    if (!status && j->options->list_k)
        status = prepare_lists(r, point, j, scores, err);
    if (status)
        return status;
    lcf_weighted_measures(measures, r, j->weights);
    for (size_t m = 0; m < LCF_METRIC_LISTS; m++)
        point[m] = measures[m * LCF_LANES];
    return LCF_OK;
}

static lcf_status prepare_arm(job *j, size_t arm, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    lcf_status status = LCF_OK;

    j->runs[arm] = lcf_alloc_zero(t->seeds_n[arm], sizeof(*j->runs[arm]));
    j->out->point[arm] = lcf_alloc_zero(t->seeds_n[arm], LCF_METRICS_N * sizeof(double));
    if (!j->runs[arm] || !j->out->point[arm])
        return LCF_FAIL(err, LCF_ENOMEM, "bootstrap of %zu seeds", t->seeds_n[arm]);
    memset(j->weights, 1, t->users_n * LCF_LANES); /* the rows as they are: every user once */
    for (size_t s = 0; s < t->seeds_n[arm] && !status; s++)
        status = prepare_run(j, arm, s, err);
    return status;
}

static lcf_status prepare(job *j, size_t threads, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    lcf_bootstrap *out = j->out;
    lcf_status status =
        lcf_weighted_users_init(&j->users, t->label, t->user, t->rows_n, t->users_n, err);
    size_t n;

    if (status)
        return status;
    out->replicates_n = j->options->replicates_n;
    out->users_both_n = j->users.both_n;
    j->users.orders_only = t->orders_only;
    if (j->options->jackknife)
        out->left_out_n =
            t->users_n < LCF_JACKKNIFE_GROUPS_MAX ? t->users_n : LCF_JACKKNIFE_GROUPS_MAX;
    if (!lcf_mul_size(&n, threads * LCF_LANES, t->users_n))
        return LCF_FAIL(err, LCF_ENOMEM, "weights of %zu users", t->users_n);
    j->seeds_max = t->seeds_n[0] > t->seeds_n[1] ? t->seeds_n[0] : t->seeds_n[1];
    j->weights = lcf_alloc(n + 1, sizeof(*j->weights));
    j->draws = lcf_alloc(threads * LCF_LANES * LCF_ARMS, j->seeds_max * sizeof(*j->draws));
    out->values = lcf_alloc(out->replicates_n + 1, LCF_ARMS * LCF_METRICS_N * sizeof(double));
    out->left_out = lcf_alloc(out->left_out_n + 1, LCF_ARMS * LCF_METRICS_N * sizeof(double));
    if (!j->weights || !j->draws || !out->values || !out->left_out)
        return LCF_FAIL(err, LCF_ENOMEM, "bootstrap with %zu replicates", out->replicates_n);
    if (j->options->list_k)
        status = lcf_candidates_init(&j->candidates, t->gain ? t->gain : t->label, t->user,
                                     t->rows_n, t->users_n, j->options->list_k, err);
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = prepare_arm(j, a, err);
    return status;
}

static lcf_status run_replicates(job *j, lcf_pool *pool, lcf_err *err)
{
    lcf_progress *progress = j->options->progress;
    size_t blocks_n = (j->options->replicates_n + LCF_LANES - 1) / LCF_LANES;
    uint64_t before = progress ? progress->done : 0;

    for (j->first = 0; j->first < blocks_n; j->first += CHUNK) {
        size_t tasks = blocks_n - j->first < CHUNK ? blocks_n - j->first : CHUNK;
        size_t done = (j->first + tasks) * LCF_LANES;
        lcf_status status;
        if (lcf_stop_requested())
            return LCF_FAIL(err, LCF_ECANCELED, "stopped in the bootstrap; nothing was written");
        status = lcf_pool_run(pool, tasks, replicate_block, j, err);
        if (status)
            return status;
        if (progress)
            lcf_progress_update(
                progress,
                before + (done < j->options->replicates_n ? done : j->options->replicates_n));
    }
    return LCF_OK;
}

static void dispose_runs(lcf_weighted_run *runs, size_t n)
{
    for (size_t s = 0; runs && s < n; s++)
        lcf_weighted_run_dispose(&runs[s]);
    free(runs);
}

lcf_status lcf_bootstrap_run(lcf_bootstrap *out, const lcf_eval_table *t, lcf_pool *pool,
                             const lcf_bootstrap_options *options, lcf_err *err)
{
    job j = {.table = t, .options = options, .out = out};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    memcpy(out->seeds_n, t->seeds_n, sizeof(out->seeds_n));
    status = prepare(&j, lcf_pool_threads(pool), err);
    if (!status)
        status = run_replicates(&j, pool, err);
    if (!status && out->left_out_n)
        status = lcf_pool_run(pool, (out->left_out_n + LCF_LANES - 1) / LCF_LANES, leave_out_block,
                              &j, err);
    for (size_t a = 0; a < LCF_ARMS; a++)
        dispose_runs(j.runs[a], t->seeds_n[a]);
    lcf_candidates_dispose(&j.candidates);
    lcf_weighted_users_dispose(&j.users);
    free(j.weights);
    free(j.draws);
    if (status)
        lcf_bootstrap_dispose(out);
    return status;
}

void lcf_bootstrap_dispose(lcf_bootstrap *b)
{
    for (size_t a = 0; a < LCF_ARMS; a++)
        free(b->point[a]);
    free(b->values);
    free(b->left_out);
    memset(b, 0, sizeof(*b));
}

double lcf_bootstrap_point(const lcf_bootstrap *b, size_t arm, lcf_metric metric)
{
    double sum = 0;

    for (size_t s = 0; s < b->seeds_n[arm]; s++)
        sum += b->point[arm][s * LCF_METRICS_N + metric];
    return b->seeds_n[arm] ? sum / (double)b->seeds_n[arm] : NAN;
}
