/*
 * Paired bootstrap over users and seeds.
 *
 * Each run (one seed of one arm) is reduced to what a weighting needs: its rows in order of score,
 * packed into 32 bits each, and per user the summed log loss and the AUC. Users differ only by
 * their weight, so log loss, UAUC and GAUC of a replicate are sums over users.
 */
#include "offline/eval/bootstrap.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stats.h"
#include "offline/eval/user_auc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define USERS_MAX ((size_t)1 << 30)
#define CHUNK 64 /* replicates between two looks at progress and the stop flag */

const lcf_metric_info LCF_METRIC_INFO[LCF_METRICS_N] = {
#define METRIC_ROW(id, name, title, higher) {name, title, higher},
    LCF_METRIC_LIST(METRIC_ROW)
#undef METRIC_ROW
};

typedef struct run {
    uint32_t *sorted; /* [rows_n] by score: user << 2 | last of its tie << 1 | label */
    double *loss;     /* [users_n] summed over the user's rows */
    double *auc;      /* [users_n] NaN for users with one class */
} run;

typedef struct job {
    const lcf_eval_table *table;
    const lcf_bootstrap_options *options;
    lcf_bootstrap *out;
    run *runs[LCF_ARMS];
    double *user_rows; /* [users_n] */
    uint32_t *weights; /* [threads, users_n] how often each user was drawn */
    uint32_t *draws;   /* [threads, LCF_ARMS, seeds_max] how often each seed was drawn */
    size_t seeds_max;
    size_t first; /* replicate of task 0 */
} job;

/* source: offline/eval/auc.c, with the row's user, tie and label in one word */
static double weighted_auc(const run *r, const uint32_t *weights, size_t rows_n)
{
    double positives = 0, negatives = 0, twice_wins = 0;
    uint64_t group[2] = {0, 0};

    for (size_t i = 0; i < rows_n; i++) {
        uint32_t word = r->sorted[i];
        group[word & 1] += weights[word >> 2];
        if (!(word & 2))
            continue;
        twice_wins += (double)group[1] * (2 * negatives + (double)group[0]);
        negatives += (double)group[0];
        positives += (double)group[1];
        group[0] = group[1] = 0;
    }
    return positives > 0 && negatives > 0 ? twice_wins / (2 * positives * negatives) : NAN;
}

static void weighted_measures(double *out, const job *j, const run *r, const uint32_t *weights)
{
    double rows = 0, loss = 0, users = 0, auc = 0, user_rows = 0, user_rows_auc = 0;

    out[LCF_METRIC_AUC] = weighted_auc(r, weights, j->table->rows_n);
    for (size_t u = 0; u < j->table->users_n; u++) {
        double w = weights[u], n = w * j->user_rows[u];
        rows += n;
        loss += w * r->loss[u];
        if (isnan(r->auc[u]))
            continue;
        users += w;
        auc += w * r->auc[u];
        user_rows += n;
        user_rows_auc += n * r->auc[u];
    }
    out[LCF_METRIC_LOGLOSS] = loss / rows;
    out[LCF_METRIC_UAUC] = users > 0 ? auc / users : NAN;
    out[LCF_METRIC_GAUC] = users > 0 ? user_rows_auc / user_rows : NAN;
}

/* Means over the drawn seeds; a seed drawn twice is computed once. out [LCF_METRICS_N]; draws
 * [seeds_n]. */
static void arm_means(double *out, const job *j, size_t arm, const uint32_t *draws,
                      const uint32_t *weights)
{
    size_t seeds_n = j->table->seeds_n[arm];
    double measures[LCF_METRICS_N];

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        out[m] = 0;
    for (size_t s = 0; s < seeds_n; s++) {
        if (!draws[s])
            continue;
        weighted_measures(measures, j, &j->runs[arm][s], weights);
        for (size_t m = 0; m < LCF_METRICS_N; m++)
            out[m] += draws[s] * measures[m];
    }
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        out[m] /= (double)seeds_n;
}

static void draw_seeds(lcf_rng *rng, uint32_t *draws, size_t seeds_n, bool fixed)
{
    for (size_t s = 0; s < seeds_n; s++)
        draws[s] = fixed;
    for (size_t s = 0; s < seeds_n && !fixed; s++)
        draws[lcf_rng_below(rng, seeds_n)]++;
}

static lcf_status replicate(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const job *j = arg;
    const lcf_eval_table *t = j->table;
    size_t r = j->first + task;
    uint32_t *weights = j->weights + worker * t->users_n;
    uint32_t *draws = j->draws + worker * LCF_ARMS * j->seeds_max;
    lcf_rng rng;

    (void)err;
    lcf_rng_seed(&rng, j->options->seed, r);
    memset(weights, 0, t->users_n * sizeof(*weights));
    for (size_t u = 0; u < t->users_n; u++)
        weights[lcf_rng_below(&rng, t->users_n)]++;
    draw_seeds(&rng, draws, t->seeds_n[0], j->options->seeds_fixed);
    if (t->seeds_paired)
        memcpy(draws + j->seeds_max, draws, t->seeds_n[0] * sizeof(*draws));
    else
        draw_seeds(&rng, draws + j->seeds_max, t->seeds_n[1], j->options->seeds_fixed);
    for (size_t a = 0; a < LCF_ARMS; a++)
        arm_means(j->out->values + (r * LCF_ARMS + a) * LCF_METRICS_N, j, a,
                  draws + a * j->seeds_max, weights);
    return LCF_OK;
}

static lcf_status prepare_run(run *r, const lcf_eval_table *t, const float *scores, lcf_err *err)
{
    uint64_t *order = lcf_alloc(2 * t->rows_n + 1, sizeof(*order));
    lcf_user_auc users;
    lcf_status status;

    r->sorted = lcf_alloc(t->rows_n + 1, sizeof(*r->sorted));
    r->loss = lcf_alloc_zero(t->users_n + 1, sizeof(*r->loss));
    r->auc = lcf_alloc(t->users_n + 1, sizeof(*r->auc));
    if (!order || !r->sorted || !r->loss || !r->auc) {
        status = LCF_FAIL(err, LCF_ENOMEM, "bootstrap of %zu rows", t->rows_n);
        goto done;
    }
    lcf_score_order(order, scores, t->rows_n, order + t->rows_n);
    for (size_t i = 0; i < t->rows_n; i++) {
        uint32_t row = lcf_order_row(order[i]);
        bool last = i + 1 == t->rows_n || lcf_order_rank(order[i]) != lcf_order_rank(order[i + 1]);
        r->sorted[i] = t->user[row] << 2 | (uint32_t)last << 1 | t->label[row];
    }
    for (size_t i = 0; i < t->rows_n; i++)
        r->loss[t->user[i]] += lcf_log_loss_row(scores[i], t->label[i]);
    status =
        lcf_user_auc_compute(&users, r->auc, scores, t->label, t->user, t->rows_n, t->users_n, err);
done:
    free(order);
    return status;
}

static lcf_status prepare_arm(job *j, size_t arm, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    lcf_status status = LCF_OK;

    j->runs[arm] = lcf_alloc_zero(t->seeds_n[arm], sizeof(run));
    j->out->point[arm] = lcf_alloc_zero(t->seeds_n[arm], LCF_METRICS_N * sizeof(double));
    if (!j->runs[arm] || !j->out->point[arm])
        return LCF_FAIL(err, LCF_ENOMEM, "bootstrap of %zu seeds", t->seeds_n[arm]);
    for (size_t s = 0; s < t->seeds_n[arm] && !status; s++) {
        status = prepare_run(&j->runs[arm][s], t, lcf_eval_table_run(t, arm, s), err);
        if (!status)
            weighted_measures(j->out->point[arm] + s * LCF_METRICS_N, j, &j->runs[arm][s],
                              j->weights);
    }
    return status;
}

static lcf_status prepare(job *j, size_t threads, lcf_err *err)
{
    const lcf_eval_table *t = j->table;
    lcf_bootstrap *out = j->out;
    lcf_status status = LCF_OK;
    size_t n;

    if (t->users_n >= USERS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%zu users, at most %zu", t->users_n, USERS_MAX - 1);
    out->replicates_n = j->options->replicates_n;
    if (!lcf_mul_size(&n, threads, t->users_n))
        return LCF_FAIL(err, LCF_ENOMEM, "weights of %zu users", t->users_n);
    j->seeds_max = t->seeds_n[0] > t->seeds_n[1] ? t->seeds_n[0] : t->seeds_n[1];
    j->weights = lcf_alloc(n + 1, sizeof(*j->weights));
    j->draws = lcf_alloc(threads * LCF_ARMS, j->seeds_max * sizeof(*j->draws));
    j->user_rows = lcf_alloc_zero(t->users_n + 1, sizeof(*j->user_rows));
    out->values = lcf_alloc(out->replicates_n + 1, LCF_ARMS * LCF_METRICS_N * sizeof(double));
    if (!j->weights || !j->draws || !j->user_rows || !out->values)
        return LCF_FAIL(err, LCF_ENOMEM, "bootstrap with %zu replicates", out->replicates_n);
    for (size_t i = 0; i < t->rows_n; i++)
        j->user_rows[t->user[i]]++;
    for (size_t u = 0; u < t->users_n; u++) /* the rows as they are: every user once */
        j->weights[u] = 1;
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = prepare_arm(j, a, err);
    for (size_t u = 0; !status && u < t->users_n; u++)
        out->users_both_n += !isnan(j->runs[0][0].auc[u]);
    return status;
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

static void dispose_runs(run *runs, size_t n)
{
    for (size_t s = 0; runs && s < n; s++) {
        free(runs[s].sorted);
        free(runs[s].loss);
        free(runs[s].auc);
    }
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
    for (size_t a = 0; a < LCF_ARMS; a++)
        dispose_runs(j.runs[a], t->seeds_n[a]);
    free(j.user_rows);
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
    memset(b, 0, sizeof(*b));
}

double lcf_bootstrap_point(const lcf_bootstrap *b, size_t arm, lcf_metric metric)
{
    double sum = 0;

    for (size_t s = 0; s < b->seeds_n[arm]; s++)
        sum += b->point[arm][s * LCF_METRICS_N + metric];
    return b->seeds_n[arm] ? sum / (double)b->seeds_n[arm] : NAN;
}
