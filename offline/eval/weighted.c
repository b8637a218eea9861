/*
 * Preparation of runs, and measures from what the lanes counted.
 *
 * Invariant of `sorted`: rows descend by score; a group of equal scores that holds a positive and
 * another row is marked, as only there the order within the group matters.
 */
#include "offline/eval/weighted.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/eval/brier.h"
#include "offline/eval/lanes.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/normalised_entropy.h"
#include "offline/eval/score_order.h"
#include "offline/eval/user_auc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

lcf_status lcf_weighted_users_init(lcf_weighted_users *out, const uint8_t *labels,
                                   const uint32_t *users, size_t n, size_t users_n, lcf_err *err)
{
    *out = (lcf_weighted_users){.rows_n = n, .users_n = users_n};
    if (users_n >= LCF_WEIGHTED_USERS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%zu users, at most %zu", users_n,
                        LCF_WEIGHTED_USERS_MAX - 1);
    out->sums = lcf_alloc_zero(users_n + 1, LCF_USER_SUMS_N * sizeof(double));
    if (!out->sums)
        return LCF_FAIL(err, LCF_ENOMEM, "sums of %zu users", users_n);
    for (size_t i = 0; i < n; i++) {
        double *sums = out->sums + (size_t)users[i] * LCF_USER_SUMS_N;
        sums[LCF_USER_ROWS]++;
        sums[LCF_USER_POSITIVES] += labels[i] != 0;
    }
    for (size_t u = 0; u < users_n; u++) {
        double *sums = out->sums + u * LCF_USER_SUMS_N;
        if (!sums[LCF_USER_POSITIVES] || sums[LCF_USER_POSITIVES] == sums[LCF_USER_ROWS])
            continue;
        out->both_n++;
        sums[LCF_USER_BOTH] = 1;
        sums[LCF_USER_ROWS_BOTH] = sums[LCF_USER_ROWS];
        sums[LCF_USER_POSITIVES_BOTH] = sums[LCF_USER_POSITIVES];
    }
    return LCF_OK;
}

void lcf_weighted_users_dispose(lcf_weighted_users *u)
{
    free(u->sums);
    memset(u, 0, sizeof(*u));
}

/* Marks the rows [begin, end) of one score. */
static void mark_tie(uint32_t *sorted, size_t begin, size_t end)
{
    bool positive = false;

    for (size_t i = begin; i < end; i++)
        positive = positive || sorted[i] & LCF_ROW_LABEL;
    if (!positive || end - begin < 2)
        return;
    for (size_t i = begin; i < end; i++)
        sorted[i] |= LCF_ROW_IN_TIE;
    sorted[end - 1] |= LCF_ROW_TIE_LAST;
}

static void sort_rows(lcf_weighted_run *r, uint64_t *order, const float *scores,
                      const uint8_t *labels, const uint32_t *users)
{
    size_t n = r->users->rows_n, begin = 0, bin = 0;

    lcf_score_order(order, scores, n, order + n);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = order[n - 1 - i];
        uint32_t row = lcf_order_row(key);
        size_t of = LCF_CALIBRATION_BINS - 1 - lcf_calibration_bin_of(scores[row]);
        r->sorted[i] = users[row] << LCF_ROW_SHIFT | (labels[row] != 0);
        r->scores[i] = scores[row];
        while (bin < of)
            r->bin_end[bin++] = i;
        if (i + 1 == n || lcf_order_rank(order[n - 2 - i]) != lcf_order_rank(key)) {
            mark_tie(r->sorted, begin, i + 1);
            begin = i + 1;
        }
    }
    while (bin < LCF_CALIBRATION_BINS)
        r->bin_end[bin++] = n;
}

static void sum_users(lcf_weighted_run *r, const double *auc, const float *scores,
                      const uint8_t *labels, const uint32_t *users)
{
    for (size_t i = 0; i < r->users->rows_n; i++) {
        double *sums = r->sums + (size_t)users[i] * LCF_USER_SUMS_N;
        sums[LCF_RUN_LOSS] += lcf_log_loss_row(scores[i], labels[i]);
        sums[LCF_RUN_BRIER] += lcf_brier_row(scores[i], labels[i]);
    }
    for (size_t u = 0; u < r->users->users_n; u++) {
        const double *of_user = r->users->sums + u * LCF_USER_SUMS_N;
        double *sums = r->sums + u * LCF_USER_SUMS_N;
        if (isnan(auc[u]))
            continue;
        sums[LCF_RUN_AUC] = auc[u];
        sums[LCF_RUN_AUC_ROWS] = of_user[LCF_USER_ROWS] * auc[u];
        sums[LCF_RUN_AUC_POSITIVES] = of_user[LCF_USER_POSITIVES] * auc[u];
    }
}

lcf_status lcf_weighted_run_init(lcf_weighted_run *out, const lcf_weighted_users *u,
                                 const float *scores, const uint8_t *labels, const uint32_t *users,
                                 lcf_err *err)
{
    size_t n = u->rows_n;
    uint64_t *order = lcf_alloc(2 * n + 1, sizeof(*order));
    double *auc = lcf_alloc(u->users_n + 1, sizeof(*auc));
    lcf_user_auc means;
    lcf_status status;

    *out = (lcf_weighted_run){.users = u};
    out->sorted = lcf_alloc(n + 1, sizeof(*out->sorted));
    out->scores = lcf_alloc(n + 1, sizeof(*out->scores));
    out->sums = lcf_alloc_zero(u->users_n + 1, LCF_USER_SUMS_N * sizeof(double));
    if (!order || !auc || !out->sorted || !out->scores || !out->sums) {
        status = LCF_FAIL(err, LCF_ENOMEM, "run of %zu rows", n);
        goto done;
    }
    sort_rows(out, order, scores, labels, users);
    status = lcf_user_auc_compute(&means, auc, scores, labels, users, n, u->users_n, err);
    if (!status)
        sum_users(out, auc, scores, labels, users);
done:
    free(order);
    free(auc);
    return status;
}

_Static_assert(LCF_LIST_USER_METRICS_N % LCF_USER_SUMS_N == 0, "lists fill whole blocks");

lcf_status lcf_weighted_run_add_lists(lcf_weighted_run *r, const lcf_list_values *values,
                                      lcf_err *err)
{
    size_t users_n = r->users->users_n, half = LCF_LIST_USER_METRICS_N * users_n;

    r->lists = lcf_alloc(2 * half + 1, sizeof(*r->lists));
    if (!r->lists)
        return LCF_FAIL(err, LCF_ENOMEM, "lists of %zu users", users_n);
    for (size_t m = 0; m < LCF_LIST_USER_METRICS_N; m++)
        for (size_t u = 0; u < users_n; u++) {
            double value = values->user[m * users_n + u];
            size_t block = m / LCF_USER_SUMS_N, column = m % LCF_USER_SUMS_N;
            size_t at = (block * users_n + u) * LCF_USER_SUMS_N + column;
            r->lists[at] = isnan(value) ? 0 : value;
            r->lists[half + at] = !isnan(value);
        }
    return LCF_OK;
}

void lcf_weighted_run_dispose(lcf_weighted_run *r)
{
    free(r->lists);
    free(r->sorted);
    free(r->scores);
    free(r->sums);
    memset(r, 0, sizeof(*r));
}

static double over(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static void score_measures(double *out, const lcf_weighted_run *r, const uint8_t *weights,
                           const lcf_lane_kernels *lanes)
{
    double users[LCF_USER_SUMS_N][LCF_LANES], run[LCF_USER_SUMS_N][LCF_LANES];
    lcf_lane_ranks ranks;

    lanes->ranks(&ranks, r, weights);
    lanes->sums(users[0], r->users->sums, weights, r->users->users_n);
    lanes->sums(run[0], r->sums, weights, r->users->users_n);
    for (size_t k = 0; k < LCF_LANES; k++) {
        double rows = users[LCF_USER_ROWS][k], positives = users[LCF_USER_POSITIVES][k];
        double loss = over(run[LCF_RUN_LOSS][k], rows);
        double values[LCF_METRIC_LISTS] = {
            [LCF_METRIC_AUC] = over(ranks.wins[k], ranks.positives[k] * ranks.negatives[k]),
            [LCF_METRIC_PR_AUC] = over(ranks.precision[k], ranks.positives[k]),
            [LCF_METRIC_LOGLOSS] = loss,
            [LCF_METRIC_NE] = lcf_normalised_entropy(loss, positives, rows),
            [LCF_METRIC_BRIER] = over(run[LCF_RUN_BRIER][k], rows),
            [LCF_METRIC_ECE] = over(ranks.residual[k], rows),
            [LCF_METRIC_UAUC] = over(run[LCF_RUN_AUC][k], users[LCF_USER_BOTH][k]),
            [LCF_METRIC_GAUC_IMPRESSIONS] =
                over(run[LCF_RUN_AUC_ROWS][k], users[LCF_USER_ROWS_BOTH][k]),
            [LCF_METRIC_GAUC_POSITIVES] =
                over(run[LCF_RUN_AUC_POSITIVES][k], users[LCF_USER_POSITIVES_BOTH][k]),
        };
        for (size_t m = 0; m < LCF_METRIC_LISTS; m++)
            out[m * LCF_LANES + k] = values[m];
    }
}

static void forget_probabilities(double *out)
{
    static const lcf_metric OF_PROBABILITIES[] = {LCF_METRIC_LOGLOSS, LCF_METRIC_NE,
                                                  LCF_METRIC_BRIER, LCF_METRIC_ECE};

    for (size_t i = 0; i < sizeof(OF_PROBABILITIES) / sizeof(OF_PROBABILITIES[0]); i++)
        for (size_t k = 0; k < LCF_LANES; k++)
            out[OF_PROBABILITIES[i] * LCF_LANES + k] = NAN;
}

static void list_measures(double *out, const lcf_weighted_run *r, const uint8_t *weights,
                          const lcf_lane_kernels *lanes)
{
    double sums[2 * LCF_LIST_USER_METRICS_N * LCF_LANES];
    const double *counts = sums + LCF_LIST_USER_METRICS_N * LCF_LANES;
    size_t users_n = r->users->users_n;

    for (size_t i = 0; i < LCF_LIST_METRICS_N * LCF_LANES; i++)
        out[i] = NAN;
    if (!r->lists)
        return;
    for (size_t b = 0; b < LCF_LIST_BLOCKS_N; b++)
        lanes->sums(sums + b * LCF_USER_SUMS_N * LCF_LANES,
                    r->lists + b * users_n * LCF_USER_SUMS_N, weights, users_n);
    for (size_t i = 0; i < LCF_LIST_USER_METRICS_N * LCF_LANES; i++)
        out[i] = over(sums[i], counts[i]);
}

static void measures(double *out, const lcf_weighted_run *r, const uint8_t *weights,
                     const lcf_lane_kernels *lanes)
{
    score_measures(out, r, weights, lanes);
    if (r->users->orders_only)
        forget_probabilities(out);
    list_measures(out + LCF_METRIC_LISTS * LCF_LANES, r, weights, lanes);
}

void lcf_weighted_measures(double *out, const lcf_weighted_run *r, const uint8_t *weights)
{
    measures(out, r, weights, lcf_lanes_get());
}

void lcf_weighted_measures_baseline(double *out, const lcf_weighted_run *r, const uint8_t *weights)
{
    measures(out, r, weights, &lcf_lanes_baseline);
}
