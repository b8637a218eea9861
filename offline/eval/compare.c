/* Figures of a comparison: points from the rows as they are, intervals from bootstrap replicates.
 */
#include "offline/eval/compare.h"

#include "common/base/mem.h"
#include "offline/eval/rela_impr.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const ARM_SUFFIX[LCF_ARMS] = {"_a", "_b"};

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

static double paired_std(const lcf_measure *m, const lcf_bootstrap *b, bool paired, double *scratch)
{
    if (!paired)
        return NAN;
    for (size_t s = 0; s < b->seeds_n[0]; s++)
        scratch[s] = m->per_seed[1][s] - m->per_seed[0][s];
    return lcf_stats_std(scratch, b->seeds_n[0]);
}

/* scratch holds the replicates or the seeds, whichever is more. */
static lcf_status fill_measure(lcf_measure *out, const lcf_bootstrap *b, lcf_metric metric,
                               bool paired, double *scratch, lcf_err *err)
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
    out->lift_std = paired_std(out, b, paired, scratch);
    out->lift.value = out->arm[1].value - out->arm[0].value;
    fill_lifts(scratch, b, metric);
    out->p = lcf_stats_p_value(scratch, b->replicates_n);
    set_interval(&out->lift, scratch, b->replicates_n);
    for (size_t r = 0; r < b->replicates_n; r++)
        out->undefined_n += isnan(scratch[r]);
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
    double *scratch = NULL;
    lcf_bootstrap b;
    lcf_status status = lcf_bootstrap_run(&b, t, pool, options, err);

    if (status)
        return status;
    scratch = lcf_alloc(larger(b.replicates_n, larger(t->seeds_n[0], t->seeds_n[1])) + 1,
                        sizeof(*scratch));
    if (!scratch)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu replicates", b.replicates_n);
    for (size_t m = 0; m < LCF_METRICS_N && !status; m++)
        status = fill_measure(&out->measures[m], &b, (lcf_metric)m, t->seeds_paired, scratch, err);
    if (!status) {
        fill_rela_impr(&out->rela_impr, &b, scratch);
        out->users_both_n = b.users_both_n;
    }
    free(scratch);
    lcf_bootstrap_dispose(&b);
    return status;
}

static lcf_status add_curves(lcf_comparison *out, const lcf_eval_table *t, lcf_err *err)
{
    uint64_t *order = lcf_alloc(2 * t->rows_n + 1, sizeof(*order));
    double tpr[LCF_ROC_POINTS];

    if (!order)
        return LCF_FAIL(err, LCF_ENOMEM, "curves of %zu rows", t->rows_n);
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t s = 0; s < t->seeds_n[a]; s++) {
            const float *scores = lcf_eval_table_run(t, a, s);
            lcf_calibration_add(&out->calibration[a], scores, t->label, t->rows_n);
            lcf_score_order(order, scores, t->rows_n, order + t->rows_n);
            lcf_roc_grid(tpr, order, t->label, t->rows_n);
            for (size_t i = 0; i < LCF_ROC_POINTS; i++)
                out->roc[a][i] += tpr[i] / (double)t->seeds_n[a];
        }
    free(order);
    return LCF_OK;
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
    double *p = lcf_alloc(2 * out->slices_n + 1, sizeof(*p));

    if (!p)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu slices", out->slices_n);
    for (size_t i = 0; i < out->slices_n; i++)
        p[i] = out->slices[i].p;
    lcf_stats_holm(p + out->slices_n, p, out->slices_n);
    for (size_t i = 0; i < out->slices_n; i++)
        out->slices[i].p_holm = p[out->slices_n + i];
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
                             const lcf_bootstrap_options *options, lcf_err *err)
{
    out->rows_n = t->rows_n;
    out->users_n = t->users_n;
    out->positives_n = t->positives_n;
    out->seeds_paired = t->seeds_paired;
    out->seeds_fixed = options->seeds_fixed;
    out->replicates_n = options->replicates_n;
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

lcf_status lcf_compare(lcf_comparison *out, const lcf_eval_table *t, const lcf_slices *slices,
                       lcf_pool *pool, const lcf_bootstrap_options *options, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = copy_facts(out, t, options, err);
    if (!status)
        status = compare_all(out, t, pool, options, err);
    if (!status)
        status = add_curves(out, t, err);
    if (!status && slices)
        status = compare_slices(out, t, slices, pool, options, err);
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

static void add_estimate(lcf_figures *out, const char *stem, const char *const names[3],
                         const lcf_estimate *e)
{
    lcf_figures_add(out, stem, names[0], e ? e->value : NAN);
    lcf_figures_add(out, stem, names[1], e ? e->low : NAN);
    lcf_figures_add(out, stem, names[2], e ? e->high : NAN);
}

void lcf_comparison_figures(lcf_figures *out, const lcf_comparison *c)
{
    static const char *const LIFT[] = {"_lift", "_lift_low", "_lift_high"};
    static const char *const PLAIN[] = {"", "_low", "_high"};

    out->n = 0;
    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        const lcf_measure *measure = c ? &c->measures[m] : NULL;
        const char *name = LCF_METRIC_INFO[m].name;
        for (size_t a = 0; a < LCF_ARMS; a++)
            lcf_figures_add(out, name, ARM_SUFFIX[a], measure ? measure->arm[a].value : NAN);
        add_estimate(out, name, LIFT, measure ? &measure->lift : NULL);
        lcf_figures_add(out, name, "_lift_p", measure ? measure->p : NAN);
    }
    add_estimate(out, "relaimpr", PLAIN, c ? &c->rela_impr : NULL);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_figures_add(out, "ece", ARM_SUFFIX[a],
                        c ? lcf_calibration_ece(&c->calibration[a]) : NAN);
        lcf_figures_add(out, "accuracy", ARM_SUFFIX[a],
                        c ? lcf_calibration_accuracy(&c->calibration[a]) : NAN);
    }
}

lcf_verdict lcf_comparison_verdict(const lcf_comparison *c)
{
    const lcf_estimate *lift = &c->measures[LCF_METRIC_AUC].lift;

    if (lift->low > 0)
        return LCF_VERDICT_BETTER;
    return lift->high < 0 ? LCF_VERDICT_WORSE : LCF_VERDICT_OPEN;
}
