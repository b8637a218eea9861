/*
 * Figures of a comparison: points from the rows as they are, intervals from bootstrap replicates
 * and the jackknife, p-values from them, from permutations and from DeLong's and McNemar's methods.
 */
#include "offline/eval/compare.h"

#include "common/base/mem.h"
#include "offline/eval/delong.h"
#include "offline/eval/distributions.h"
#include "offline/eval/permutation.h"
#include "offline/eval/rela_impr.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void set_interval(lcf_estimate *e, double *replicates, size_t n)
{
    lcf_interval interval = lcf_stats_interval(replicates, n, LCF_CONFIDENCE);

    e->low = interval.low;
    e->high = interval.high;
}

static void fill_lifts(double *out, const lcf_bootstrap *b, lcf_metric metric)
{
    for (size_t r = 0; r < b->replicates_n; r++)
        out[r] = lcf_bootstrap_value(b, r, 1, metric) - lcf_bootstrap_value(b, r, 0, metric);
}

/* Over pairs of seeds. */
static void fill_seed_tests(lcf_measure *out, const lcf_bootstrap *b, bool paired, double *scratch)
{
    size_t n = paired ? b->seeds_n[0] : 0;

    for (size_t s = 0; s < n; s++)
        scratch[s] = out->per_seed[1][s] - out->per_seed[0][s];
    out->lift_std = lcf_stats_std(scratch, n);
    out->seeds_t = lcf_paired_t(scratch, n, LCF_CONFIDENCE);
}

/* From sorted replicates of the lift. left_out has room for the jackknife's. */
static void fill_from_spread(lcf_measure *out, const lcf_bootstrap *b, lcf_metric metric,
                             const double *replicates, double *left_out, size_t users_n)
{
    size_t defined = b->replicates_n - out->undefined_n;
    lcf_interval bca;

    for (size_t g = 0; g < b->left_out_n; g++)
        left_out[g] =
            lcf_bootstrap_left_out(b, g, 1, metric) - lcf_bootstrap_left_out(b, g, 0, metric);
    bca = lcf_stats_bca(replicates, defined, out->lift.value, left_out, b->left_out_n,
                        LCF_CONFIDENCE);
    out->bca_low = bca.low;
    out->bca_high = bca.high;
    out->se = lcf_stats_std(replicates, defined);
    out->detectable = lcf_detectable(out->se, LCF_CONFIDENCE, LCF_POWER);
    out->users_needed =
        lcf_users_needed(out->lift.value, out->se, (double)users_n, LCF_CONFIDENCE, LCF_POWER);
}

/* scratch holds the replicates or the seeds, whichever is more, and then the jackknife's values. */
static lcf_status fill_measure(lcf_measure *out, const lcf_bootstrap *b, lcf_metric metric,
                               const lcf_eval_table *t, double *scratch, lcf_err *err)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        out->per_seed[a] = lcf_alloc(b->seeds_n[a] + 1, sizeof(double));
        if (!out->per_seed[a])
            return LCF_FAIL(err, LCF_ENOMEM, "figures of %zu seeds", b->seeds_n[a]);
        for (size_t s = 0; s < b->seeds_n[a]; s++)
            out->per_seed[a][s] = b->point[a][s * LCF_METRICS_N + metric];
        out->std[a] = lcf_stats_std(out->per_seed[a], b->seeds_n[a]);
        out->arm[a].value = lcf_bootstrap_point(b, a, metric);
        for (size_t r = 0; r < b->replicates_n; r++)
            scratch[r] = lcf_bootstrap_value(b, r, a, metric);
        set_interval(&out->arm[a], scratch, b->replicates_n);
    }
    fill_seed_tests(out, b, t->seeds_paired, scratch);
    out->lift.value = out->arm[1].value - out->arm[0].value;
    fill_lifts(scratch, b, metric);
    out->p = lcf_stats_p_value(scratch, b->replicates_n);
    for (size_t r = 0; r < b->replicates_n; r++)
        out->undefined_n += isnan(scratch[r]);
    set_interval(&out->lift, scratch, b->replicates_n);
    fill_from_spread(out, b, metric, scratch, scratch + b->replicates_n, t->users_n);
    return LCF_OK;
}

static void fill_rela_impr(lcf_estimate *out, const lcf_bootstrap *b, double *scratch)
{
    out->value = lcf_rela_impr(lcf_bootstrap_point(b, 0, LCF_METRIC_AUC),
                               lcf_bootstrap_point(b, 1, LCF_METRIC_AUC));
    for (size_t r = 0; r < b->replicates_n; r++)
        scratch[r] = lcf_rela_impr(lcf_bootstrap_value(b, r, 0, LCF_METRIC_AUC),
                                   lcf_bootstrap_value(b, r, 1, LCF_METRIC_AUC));
    set_interval(out, scratch, b->replicates_n);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static lcf_status compare_all(lcf_comparison *out, const lcf_eval_table *t, lcf_pool *pool,
                              const lcf_bootstrap_options *options, lcf_err *err)
{
    lcf_bootstrap_options own = *options;
    double *scratch = NULL;
    lcf_bootstrap b;
    lcf_status status;

    own.jackknife = true;
    own.list_k = out->list_k;
    status = lcf_bootstrap_run(&b, t, pool, &own, err);
    if (status)
        return status;
    scratch = lcf_alloc(larger(b.replicates_n, larger(t->seeds_n[0], t->seeds_n[1])) + b.left_out_n,
                        sizeof(*scratch));
    if (!scratch)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu replicates", b.replicates_n);
    for (size_t m = 0; m < LCF_METRICS_N && !status; m++)
        status = fill_measure(&out->measures[m], &b, (lcf_metric)m, t, scratch, err);
    if (!status) {
        fill_rela_impr(&out->rela_impr, &b, scratch);
        out->users_both_n = b.users_both_n;
        out->left_out_n = b.left_out_n;
    }
    free(scratch);
    lcf_bootstrap_dispose(&b);
    return status;
}

static lcf_status permute(lcf_comparison *out, const lcf_eval_table *t, lcf_pool *pool,
                          const lcf_compare_options *options, lcf_err *err)
{
    const lcf_permutation_options own = {options->permutations_n, options->seed, options->list_k,
                                         options->progress};
    double p[LCF_METRICS_N];
    lcf_status status = lcf_permutation_test(p, t, pool, &own, err);

    for (size_t m = 0; m < LCF_METRICS_N && !status; m++)
        out->measures[m].p_permutation = p[m];
    return status;
}

static lcf_estimate normal_estimate(double value, double se)
{
    double half = lcf_normal_quantile((1 + LCF_CONFIDENCE) / 2) * se;

    return (lcf_estimate){value, value - half, value + half};
}

/* placements [LCF_ARMS, rows_n], B's are overwritten. */
static lcf_status fill_delong(lcf_delong_comparison *out, double *placements,
                              const lcf_eval_table *t, lcf_err *err)
{
    double *b = placements + t->rows_n;
    lcf_status status = LCF_OK;
    lcf_delong d;

    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        status = lcf_delong_compute(&d, placements + a * t->rows_n, t->label, t->user, t->rows_n,
                                    t->users_n, err);
        out->arm[a] = normal_estimate(d.auc, d.se_users);
    }
    for (size_t i = 0; i < t->rows_n; i++)
        b[i] -= placements[i];
    if (!status)
        status = lcf_delong_compute(&d, b, t->label, t->user, t->rows_n, t->users_n, err);
    if (status)
        return status;
    out->lift = normal_estimate(d.auc, d.se_users);
    out->se_users = d.se_users;
    out->se_rows = d.se_rows;
    out->p_users = lcf_normal_p(d.auc / d.se_users);
    out->p_rows = lcf_normal_p(d.auc / d.se_rows);
    return LCF_OK;
}

static lcf_status compare_decisions(lcf_mcnemar *out, const lcf_eval_table *t, lcf_err *err)
{
    double *sums = lcf_alloc_zero(t->users_n + 1, sizeof(*sums));

    if (!sums)
        return LCF_FAIL(err, LCF_ENOMEM, "decisions of %zu users", t->users_n);
    *out = (lcf_mcnemar){0, 0, NAN, NAN, NAN};
    if (t->orders_only) { /* there is no threshold to be on the right side of */
        free(sums);
        return LCF_OK;
    }
    for (size_t s = 0; s < t->seeds_n[0] && s < t->seeds_n[1]; s++)
        lcf_mcnemar_add(out, sums, lcf_eval_table_run(t, 0, s), lcf_eval_table_run(t, 1, s),
                        t->label, t->user, t->rows_n, LCF_DECISION_THRESHOLD);
    lcf_mcnemar_finish(out, sums, t->users_n);
    if (t->seeds_n[0] > 1 && t->seeds_n[1] > 1)
        out->p_rows = NAN; /* rows were counted once per seed */
    free(sums);
    return LCF_OK;
}

static lcf_status interleave(lcf_interleaving *out, const lcf_eval_table *t, size_t list_k,
                             uint64_t seed, lcf_err *err)
{
    double *preferences = lcf_alloc_zero(t->users_n + 1, sizeof(*preferences));
    lcf_candidates c = {.rows_n = 0};
    lcf_status status;

    *out = (lcf_interleaving){{0, 0}, 0, NAN, NAN, NAN, NAN, 0};
    if (!preferences)
        return LCF_FAIL(err, LCF_ENOMEM, "sessions of %zu users", t->users_n);
    status = lcf_candidates_init(&c, t->gain ? t->gain : t->label, t->user, t->rows_n, t->users_n,
                                 list_k, err);
    for (size_t s = 0; s < t->seeds_n[0] && !status; s++)
        status = lcf_interleave_add(out, preferences, &c, lcf_eval_table_run(t, 0, s),
                                    lcf_eval_table_run(t, 1, s), seed, s, err);
    if (!status)
        lcf_interleave_finish(out, preferences, &c, t->seeds_n[0], LCF_CONFIDENCE);
    lcf_candidates_dispose(&c);
    free(preferences);
    return status;
}

static void add_fit(lcf_calibration_fit *sum, size_t *fits_n, lcf_calibration_fit fit)
{
    if (isnan(fit.slope))
        return;
    sum->slope += fit.slope;
    sum->intercept += fit.intercept;
    ++*fits_n;
}

/* Curves, calibration and placements of one arm over its seeds. placements [rows_n] zeroed. */
static void add_curves(lcf_comparison *out, size_t arm, const lcf_eval_table *t, uint64_t *order,
                       double *placements)
{
    lcf_calibration_fit fit = {0, 0};
    size_t seeds_n = t->seeds_n[arm], fits_n = 0;
    double tpr[LCF_ROC_POINTS], precision[LCF_PR_POINTS];

    for (size_t s = 0; s < seeds_n; s++) {
        const float *scores = lcf_eval_table_run(t, arm, s);
        if (!t->orders_only)
            lcf_calibration_add(&out->calibration[arm], scores, t->label, t->rows_n);
        if (!t->orders_only)
            add_fit(&fit, &fits_n, lcf_calibration_fit_compute(scores, t->label, t->rows_n));
        lcf_score_order(order, scores, t->rows_n, order + t->rows_n);
        lcf_placements_add(placements, order, t->label, t->rows_n, 1 / (double)seeds_n);
        lcf_roc_grid(tpr, order, t->label, t->rows_n);
        for (size_t i = 0; i < LCF_ROC_POINTS; i++)
            out->roc[arm][i] += tpr[i] / (double)seeds_n;
        lcf_pr_grid(precision, order, t->label, t->rows_n);
        for (size_t i = 0; i < LCF_PR_POINTS; i++)
            out->pr[arm][i] += precision[i] / (double)seeds_n;
    }
    out->calibration_fit[arm].slope = fits_n ? fit.slope / (double)fits_n : NAN;
    out->calibration_fit[arm].intercept = fits_n ? fit.intercept / (double)fits_n : NAN;
}

static lcf_status compare_curves(lcf_comparison *out, const lcf_eval_table *t, lcf_err *err)
{
    uint64_t *order = lcf_alloc(2 * t->rows_n + 1, sizeof(*order));
    double *placements = lcf_alloc_zero(t->rows_n + 1, LCF_ARMS * sizeof(*placements));
    lcf_status status = LCF_OK;

    if (!order || !placements)
        status = LCF_FAIL(err, LCF_ENOMEM, "curves of %zu rows", t->rows_n);
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        add_curves(out, a, t, order, placements + a * t->rows_n);
    if (!status)
        status = fill_delong(&out->delong, placements, t, err);
    free(order);
    free(placements);
    return status;
}

/* A slice without a bootstrap counts as done, so that the bar ends at its total. */
static void skip_progress(const lcf_bootstrap_options *options)
{
    if (options->progress)
        lcf_progress_update(options->progress, options->progress->done + options->replicates_n);
}

static lcf_status compare_slice(lcf_slice_result *out, const lcf_eval_table *part, lcf_pool *pool,
                                const lcf_bootstrap_options *options, lcf_err *err)
{
    lcf_bootstrap_options own = *options;
    double *scratch = NULL;
    lcf_bootstrap b;
    lcf_status status;
    bool enough = part->users_n >= LCF_SLICE_USERS_MIN && part->positives_n &&
                  part->positives_n < part->rows_n;

    out->rows_n = part->rows_n;
    out->users_n = part->users_n;
    out->positives_n = part->positives_n;
    if (!enough) {
        own.replicates_n = 0;
        skip_progress(options);
    }
    status = lcf_bootstrap_run(&b, part, pool, &own, err);
    if (status)
        return status;
    for (size_t a = 0; a < LCF_ARMS; a++)
        out->auc[a] = lcf_bootstrap_point(&b, a, LCF_METRIC_AUC);
    out->lift.value = out->auc[1] - out->auc[0];
    scratch = lcf_alloc(b.replicates_n + 1, sizeof(*scratch));
    if (scratch) {
        fill_lifts(scratch, &b, LCF_METRIC_AUC);
        out->p = lcf_stats_p_value(scratch, b.replicates_n);
        set_interval(&out->lift, scratch, b.replicates_n);
    } else {
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu replicates", b.replicates_n);
    }
    free(scratch);
    lcf_bootstrap_dispose(&b);
    return status;
}

static lcf_status correct_slices(lcf_comparison *out, lcf_err *err)
{
    size_t n = out->slices_n;
    double *p = lcf_alloc(3 * n + 1, sizeof(*p));

    if (!p)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu slices", n);
    for (size_t i = 0; i < n; i++)
        p[i] = out->slices[i].p;
    lcf_stats_holm(p + n, p, n);
    lcf_stats_benjamini_hochberg(p + 2 * n, p, n);
    for (size_t i = 0; i < n; i++) {
        out->slices[i].p_holm = p[n + i];
        out->slices[i].p_bh = p[2 * n + i];
    }
    free(p);
    return LCF_OK;
}

/* The worst first; what has no interval says least and stands last. */
static int compare_worst(const void *a, const void *b)
{
    const lcf_slice_result *x = a, *y = b;
    bool no_x = isnan(x->lift.low), no_y = isnan(y->lift.low);

    if (no_x != no_y)
        return no_x - no_y;
    if (x->lift.value != y->lift.value && !isnan(x->lift.value) && !isnan(y->lift.value))
        return x->lift.value < y->lift.value ? -1 : 1;
    return strcmp(x->name, y->name);
}

static lcf_status compare_dimension(lcf_comparison *out, const lcf_eval_table *t,
                                    const lcf_slice_dimension *dimension, lcf_pool *pool,
                                    const lcf_bootstrap_options *options, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t which = 0; which < dimension->count && !status; which++) {
        lcf_slice_result *result = &out->slices[out->slices_n];
        lcf_eval_table part;
        status = lcf_eval_table_select(&part, t, dimension->of, (uint8_t)which, err);
        if (!status && part.rows_n && part.rows_n < t->rows_n) { /* all rows: nothing new */
            memcpy(result->dimension, dimension->name, sizeof(result->dimension));
            memcpy(result->name, dimension->names[which], sizeof(result->name));
            out->slices_n++;
            status = compare_slice(result, &part, pool, options, err);
        } else if (!status) {
            skip_progress(options);
        }
        lcf_eval_table_dispose(&part);
    }
    return status;
}

static lcf_status compare_slices(lcf_comparison *out, const lcf_eval_table *t,
                                 const lcf_slices *slices, lcf_pool *pool,
                                 const lcf_bootstrap_options *options, lcf_err *err)
{
    lcf_status status = LCF_OK;

    out->slices = lcf_alloc_zero(slices->slices_n + 1, sizeof(*out->slices));
    if (!out->slices)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu slices", slices->slices_n);
    for (size_t k = 0; k < slices->n && !status; k++)
        status = compare_dimension(out, t, &slices->dimensions[k], pool, options, err);
    if (!status)
        status = correct_slices(out, err);
    if (!status)
        qsort(out->slices, out->slices_n, sizeof(*out->slices), compare_worst);
    return status;
}

static lcf_status copy_facts(lcf_comparison *out, const lcf_eval_table *t,
                             const lcf_compare_options *options, lcf_err *err)
{
    out->rows_n = t->rows_n;
    out->users_n = t->users_n;
    out->positives_n = t->positives_n;
    out->orders_only = t->orders_only;
    out->dropped = t->dropped;
    out->seeds_paired = t->seeds_paired;
    out->seeds_fixed = options->seeds_fixed;
    out->replicates_n = options->replicates_n;
    out->permutations_n = options->permutations_n;
    out->list_k = options->list_k;
    out->seed = options->seed;
    for (size_t a = 0; a < LCF_ARMS; a++) {
        out->seeds_n[a] = t->seeds_n[a];
        out->seeds[a] = lcf_alloc(t->seeds_n[a] + 1, sizeof(uint64_t));
        if (!out->seeds[a])
            return LCF_FAIL(err, LCF_ENOMEM, "%zu seeds", t->seeds_n[a]);
        memcpy(out->seeds[a], t->seeds[a], t->seeds_n[a] * sizeof(uint64_t));
    }
    return LCF_OK;
}

uint64_t lcf_compare_steps(const lcf_compare_options *options, size_t slices_n)
{
    return options->replicates_n * (1 + slices_n) + options->permutations_n + options->self_test_n;
}

lcf_status lcf_compare(lcf_comparison *out, const lcf_eval_table *t, const lcf_slices *slices,
                       lcf_pool *pool, const lcf_compare_options *options, lcf_err *err)
{
    const lcf_bootstrap_options bootstrap = {
        options->replicates_n, options->seed, options->seeds_fixed, false, 0, options->progress};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = copy_facts(out, t, options, err);
    if (!status)
        status = compare_all(out, t, pool, &bootstrap, err);
    if (!status)
        status = permute(out, t, pool, options, err);
    if (!status)
        status = lcf_self_test_run(&out->self_test, t, pool, options->self_test_n, options->seed,
                                   options->list_k, options->progress, err);
    out->interleaving = (lcf_interleaving){{0, 0}, 0, NAN, NAN, NAN, NAN, 0};
    if (!status && options->list_k && t->seeds_n[0] == t->seeds_n[1])
        status = interleave(&out->interleaving, t, options->list_k, options->seed, err);
    if (!status)
        status = compare_decisions(&out->mcnemar, t, err);
    if (!status)
        status = compare_curves(out, t, err);
    if (!status && slices)
        status = compare_slices(out, t, slices, pool, &bootstrap, err);
    if (status)
        lcf_comparison_dispose(out);
    return status;
}

void lcf_comparison_dispose(lcf_comparison *c)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        free(c->seeds[a]);
        for (size_t m = 0; m < LCF_METRICS_N; m++)
            free(c->measures[m].per_seed[a]);
    }
    free(c->slices);
    memset(c, 0, sizeof(*c));
}
