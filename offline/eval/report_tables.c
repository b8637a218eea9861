/*
 * The tables of a report as text, and the sentences that go with them, so that Markdown and HTML
 * cannot disagree.
 */
#include "offline/eval/report_background.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const ARM_LETTERS[LCF_ARMS] = {"A", "B"};

static lcf_status gate_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"condition", "value", "met"};

    if (!report->conditions_n)
        return LCF_OK;
    if (lcf_grid_create(g, report->conditions_n + 1, 3, NAMES))
        return LCF_ENOMEM;
    for (size_t i = 0; i < report->conditions_n; i++) {
        const lcf_gate_condition *c = &report->conditions[i];
        lcf_grid_put(g, i + 1, 0, "%s %s %g", c->name, lcf_gate_op_text(c->op), c->bound);
        lcf_grid_signed(g, i + 1, 1, 4, c->value);
        lcf_grid_put(g, i + 1, 2, "%s", c->met ? "yes" : "NO");
    }
    return LCF_OK;
}

void lcf_report_metric_title(char out[LCF_METRIC_TITLE_MAX], lcf_metric metric,
                             const lcf_comparison *c)
{
    if (metric < LCF_METRIC_LISTS)
        snprintf(out, LCF_METRIC_TITLE_MAX, "%s", LCF_METRIC_INFO[metric].title);
    else
        snprintf(out, LCF_METRIC_TITLE_MAX, "%s @%zu", LCF_METRIC_INFO[metric].title, c->list_k);
}

bool lcf_report_has_metric(const lcf_comparison *c, lcf_metric metric)
{
    return !isnan(c->measures[metric].arm[0].value) || !isnan(c->measures[metric].arm[1].value);
}

static size_t count_metrics(const lcf_comparison *c)
{
    size_t n = 0;

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        n += lcf_report_has_metric(c, (lcf_metric)m);
    return n;
}

static void measure_row(lcf_grid *g, size_t row, lcf_metric metric, const lcf_comparison *c)
{
    const lcf_measure *m = &c->measures[metric];
    char title[LCF_METRIC_TITLE_MAX];

    lcf_report_metric_title(title, metric, c);
    lcf_grid_put(g, row, 0, "%s%s", title,
                 LCF_METRIC_INFO[metric].higher_is_better ? "" : " (lower is better)");
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_grid_number(g, row, 1 + a, 4, m->arm[a].value);
        if (!isnan(m->std[a]))
            lcf_grid_put(g, row, 1 + a, "%.4f ± %.4f", m->arm[a].value, m->std[a]);
    }
    lcf_grid_signed(g, row, 3, 4, m->lift.value);
    lcf_grid_interval(g, row, 4, m->lift.low, m->lift.high);
    lcf_grid_p(g, row, 5, m->p);
}

static void rela_impr_row(lcf_grid *g, size_t row, const lcf_estimate *e)
{
    lcf_grid_put(g, row, 0, "RelaImpr of AUC");
    for (size_t column = 1; column < 6; column++)
        lcf_grid_put(g, row, column, LCF_CELL_UNDEFINED);
    if (!isnan(e->value))
        lcf_grid_put(g, row, 3, "%+.2f %%", 100 * e->value);
    if (!isnan(e->low))
        lcf_grid_put(g, row, 4, "%+.2f %% to %+.2f %%", 100 * e->low, 100 * e->high);
}

static void calibration_row(lcf_grid *g, size_t row, const char *name,
                            double (*figure)(const lcf_calibration *), const lcf_report *report)
{
    const lcf_calibration *c = report->comparison->calibration;

    lcf_grid_put(g, row, 0, "%s", name);
    for (size_t a = 0; a < LCF_ARMS; a++)
        lcf_grid_number(g, row, 1 + a, 4, figure(&c[a]));
    lcf_grid_signed(g, row, 3, 4, figure(&c[1]) - figure(&c[0]));
    lcf_grid_put(g, row, 4, LCF_CELL_UNDEFINED);
    lcf_grid_put(g, row, 5, LCF_CELL_UNDEFINED);
}

static lcf_status measures_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"measure", "A", "B", "lift (B - A)", "95 % interval", "p"};

    const lcf_comparison *c = report->comparison;
    size_t row = 1;

    if (lcf_grid_create(g, count_metrics(c) + 4, 6, NAMES))
        return LCF_ENOMEM;
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        if (lcf_report_has_metric(c, (lcf_metric)m))
            measure_row(g, row++, (lcf_metric)m, c);
    rela_impr_row(g, row++, &c->rela_impr);
    calibration_row(g, row++, "accuracy at 0.5", lcf_calibration_accuracy, report);
    calibration_row(g, row, "mean score / share of positives", lcf_calibration_bias, report);
    return LCF_OK;
}

static lcf_status tests_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"measure",           "95 % BCa interval", "p, bootstrap",
                                        "p, permutation",    "p, t over seeds",   "detectable lift",
                                        "users to settle it"};

    const lcf_comparison *c = report->comparison;
    size_t row = 1;

    if (lcf_grid_create(g, count_metrics(c) + 1, 7, NAMES))
        return LCF_ENOMEM;
    for (size_t i = 0; i < LCF_METRICS_N; i++) {
        const lcf_measure *m = &c->measures[i];
        char title[LCF_METRIC_TITLE_MAX];
        if (!lcf_report_has_metric(c, (lcf_metric)i))
            continue;
        lcf_report_metric_title(title, (lcf_metric)i, c);
        lcf_grid_put(g, row, 0, "%s", title);
        lcf_grid_interval(g, row, 1, m->bca_low, m->bca_high);
        lcf_grid_p(g, row, 2, m->p);
        lcf_grid_p(g, row, 3, m->p_permutation);
        lcf_grid_p(g, row, 4, m->seeds_t.p);
        lcf_grid_number(g, row, 5, 4, m->detectable);
        lcf_grid_number(g, row++, 6, 0, isfinite(m->users_needed) ? ceil(m->users_needed) : NAN);
    }
    return LCF_OK;
}

static lcf_status others_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"test", "of", "figure", "p, users as the unit",
                                        "p, rows as the unit"};
    const lcf_delong_comparison *d = &report->comparison->delong;
    const lcf_mcnemar *m = &report->comparison->mcnemar;

    if (lcf_grid_create(g, 3, 5, NAMES))
        return LCF_ENOMEM;
    lcf_grid_put(g, 1, 0, "DeLong");
    lcf_grid_put(g, 1, 1, "AUC lift");
    lcf_grid_put(g, 1, 2, LCF_CELL_UNDEFINED);
    if (!isnan(d->lift.low))
        lcf_grid_put(g, 1, 2, "%+.4f [%+.4f, %+.4f]", d->lift.value, d->lift.low, d->lift.high);
    lcf_grid_p(g, 1, 3, d->p_users);
    lcf_grid_p(g, 1, 4, d->p_rows);
    lcf_grid_put(g, 2, 0, "McNemar");
    lcf_grid_put(g, 2, 1, "rows that only one arm gets right");
    lcf_grid_put(g, 2, 2, LCF_CELL_UNDEFINED);
    if (!report->comparison->stream && !report->comparison->orders_only)
        lcf_grid_put(g, 2, 2, "A %.0f, B %.0f", m->only_a, m->only_b);
    lcf_grid_p(g, 2, 3, m->p_users);
    lcf_grid_p(g, 2, 4, m->p_rows);
    return LCF_OK;
}

static lcf_status slices_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"slice",    "rows",         "users",         "AUC A",
                                        "AUC B",    "lift (B - A)", "95 % interval", "p",
                                        "p (Holm)", "p (BH)"};
    const lcf_comparison *c = report->comparison;

    if (!c->slices_n)
        return LCF_OK;
    if (lcf_grid_create(g, c->slices_n + 1, 10, NAMES))
        return LCF_ENOMEM;
    for (size_t i = 0; i < c->slices_n; i++) {
        const lcf_slice_result *s = &c->slices[i];
        lcf_grid_put(g, i + 1, 0, "%s", s->name);
        lcf_grid_put(g, i + 1, 1, "%zu", s->rows_n);
        lcf_grid_put(g, i + 1, 2, "%zu", s->users_n);
        lcf_grid_number(g, i + 1, 3, 4, s->auc[0]);
        lcf_grid_number(g, i + 1, 4, 4, s->auc[1]);
        lcf_grid_signed(g, i + 1, 5, 4, s->lift.value);
        lcf_grid_interval(g, i + 1, 6, s->lift.low, s->lift.high);
        lcf_grid_p(g, i + 1, 7, s->p);
        lcf_grid_p(g, i + 1, 8, s->p_holm);
        lcf_grid_p(g, i + 1, 9, s->p_bh);
    }
    return LCF_OK;
}

static lcf_status seeds_grid(lcf_grid *g, const lcf_report *report)
{
    const lcf_comparison *c = report->comparison;
    size_t row = 1;

    if (lcf_grid_create(g, c->seeds_n[0] + c->seeds_n[1] + 1, 2 + LCF_METRIC_LISTS, NULL))
        return LCF_ENOMEM;
    lcf_grid_put(g, 0, 0, "arm");
    lcf_grid_put(g, 0, 1, "seed");
    for (size_t m = 0; m < LCF_METRIC_LISTS; m++)
        lcf_grid_put(g, 0, 2 + m, "%s", LCF_METRIC_INFO[m].title);
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t s = 0; s < c->seeds_n[a]; s++, row++) {
            lcf_grid_put(g, row, 0, "%s", ARM_LETTERS[a]);
            lcf_grid_put(g, row, 1, "%" PRIu64, c->seeds[a][s]);
            for (size_t m = 0; m < LCF_METRIC_LISTS; m++)
                lcf_grid_number(g, row, 2 + m, 4, c->measures[m].per_seed[a][s]);
        }
    return LCF_OK;
}

static lcf_status bins_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {
        "scores", "rows A",       "mean score A",        "share of positives A",
        "rows B", "mean score B", "share of positives B"};

    if (lcf_grid_create(g, LCF_CALIBRATION_BINS + 1, 7, NAMES))
        return LCF_ENOMEM;
    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
        lcf_grid_put(g, b + 1, 0, "%.1f to %.1f", (double)b / 10, (double)(b + 1) / 10);
        for (size_t a = 0; a < LCF_ARMS; a++) {
            const lcf_calibration_bin *bin = &report->comparison->calibration[a].bins[b];
            double n = (double)bin->rows_n;
            lcf_grid_put(g, b + 1, 1 + 3 * a, "%zu", bin->rows_n);
            lcf_grid_number(g, b + 1, 2 + 3 * a, 4, bin->rows_n ? bin->score_sum / n : NAN);
            lcf_grid_number(g, b + 1, 3 + 3 * a, 4, bin->rows_n ? bin->positives / n : NAN);
        }
    }
    return LCF_OK;
}

lcf_status lcf_report_grid(lcf_grid *out, const lcf_report *report, lcf_report_table table)
{
    static lcf_status (*const MAKE[LCF_REPORT_TABLES_N])(lcf_grid *, const lcf_report *) = {
        [LCF_TABLE_GATE] = gate_grid,
        [LCF_TABLE_MEASURES] = measures_grid,
        [LCF_TABLE_TESTS] = tests_grid,
        [LCF_TABLE_OTHERS] = others_grid,
        [LCF_TABLE_SLICES] = slices_grid,
        [LCF_TABLE_SEEDS] = seeds_grid,
        [LCF_TABLE_BINS] = bins_grid,
        [LCF_TABLE_DRIFT] = report_drift_grid,
        [LCF_TABLE_LATENCY] = report_latency_grid,
        [LCF_TABLE_TRAINING] = report_training_grid,
        [LCF_TABLE_SOURCES] = report_sources_grid,
    };

    *out = (lcf_grid){0, 0, NULL};
    return MAKE[table](out, report);
}

static void append_gate(lcf_buf *out, const lcf_report *report)
{
    size_t missed_n = 0;

    for (size_t i = 0; i < report->conditions_n; i++)
        missed_n += !report->conditions[i].met;
    if (missed_n)
        lcf_buf_printf(out, "; %zu of %zu guardrails %s not hold", missed_n, report->conditions_n,
                       missed_n == 1 ? "does" : "do");
    else if (report->conditions_n)
        lcf_buf_append_text(out, "; every guardrail holds");
}

void lcf_report_verdict(lcf_buf *out, const lcf_report *report)
{
    static const char *const VERDICTS[] = {[LCF_VERDICT_SHIP] = "Ship",
                                           [LCF_VERDICT_HOLD] = "Hold",
                                           [LCF_VERDICT_NO_DIFFERENCE] = "No difference"};
    static const char *const DIRECTIONS[] = {[LCF_DIRECTION_BETTER] = "B is better than A",
                                             [LCF_DIRECTION_WORSE] = "B is worse than A",
                                             [LCF_DIRECTION_OPEN] =
                                                 "B is shown neither better nor worse than A"};
    const lcf_comparison *c = report->comparison;
    const lcf_estimate *lift = &c->measures[LCF_METRIC_AUC].lift;

    lcf_buf_printf(out, "%s: %s, ",
                   VERDICTS[lcf_comparison_verdict(c, report->conditions, report->conditions_n)],
                   DIRECTIONS[lcf_comparison_direction(c)]);
    if (isnan(lift->value))
        lcf_buf_append_text(out, "all rows have the same label, which leaves AUC undefined");
    else if (isnan(lift->low))
        lcf_buf_printf(out, "AUC lift %+.4f, too few rows for an interval", lift->value);
    else
        lcf_buf_printf(out, "AUC lift %+.4f, 95 %% interval %+.4f to %+.4f", lift->value, lift->low,
                       lift->high);
    append_gate(out, report);
    lcf_buf_append_char(out, '.');
}

static void append_self_test(lcf_buf *out, const lcf_self_test *t)
{
    if (t->resamples_n && t->defined_n[LCF_METRIC_AUC])
        lcf_buf_printf(
            out,
            "A/A self-test: of %zu pairs of arms that do not differ, the interval of the "
            "AUC lift found %.1f %% different; 5 %% is right.\n",
            t->resamples_n,
            100.0 * (double)t->rejected_n[LCF_METRIC_AUC] / (double)t->defined_n[LCF_METRIC_AUC]);
}

static void append_dropped(lcf_buf *out, const lcf_table_dropped *d)
{
    if (d->unmatched_n[0] || d->unmatched_n[1] || d->duplicates_n || d->nan_n)
        lcf_buf_printf(out,
                       "Left out, as --allow says: %zu rows of A alone, %zu of B alone, %zu "
                       "duplicates, %zu rows with a score that is no number.\n",
                       d->unmatched_n[0], d->unmatched_n[1], d->duplicates_n, d->nan_n);
}

/* How the intervals were made. */
static void append_intervals(lcf_buf *out, const lcf_comparison *c)
{
    if (c->stream) {
        lcf_buf_printf(out,
                       "The rows were streamed (--stream %s): intervals are Student's, from a "
                       "jackknife that leaves out one of %zu groups of users at a time, and what "
                       "needs all rows at once is not there.\n",
                       c->stream == LCF_STREAM_SORT ? "sort" : "sketch", c->left_out_n);
        return;
    }
    lcf_buf_printf(out,
                   "Intervals are percentiles of %zu paired bootstrap replicates (seed %" PRIu64
                   ") that draw users with replacement, with all rows of a user together",
                   c->replicates_n, c->seed);
    if (c->seeds_fixed)
        lcf_buf_append_text(out, "; the seeds are kept as they are, so the intervals say nothing "
                                 "about new training runs.\n");
    else
        lcf_buf_printf(out, ", and draw seeds%s.\n",
                       c->seeds_paired ? ", the same ones for both arms"
                                       : " of each arm on their own, as their lists differ");
}

static void append_second_opinions(lcf_buf *out, const lcf_comparison *c)
{
    if (!c->stream)
        lcf_buf_printf(out,
                       "BCa is the bootstrap's second opinion, the permutation test (%zu "
                       "permutations) exchanges the arms user by user. ",
                       c->permutations_n);
    lcf_buf_append_text(out, "The detectable lift is the smallest one that as many users find four "
                             "times out of five.\n");
}

void lcf_report_method(lcf_buf *out, const lcf_report *report)
{
    const lcf_comparison *c = report->comparison;

    lcf_buf_printf(out, "A is %s, B is %s; both scored the same %zu rows (%zu positive)",
                   report->arm_name[0], report->arm_name[1], c->rows_n, c->positives_n);
    if (c->stream != LCF_STREAM_SKETCH) /* which does not count them */
        lcf_buf_printf(out, " of %zu users", c->users_n);
    lcf_buf_printf(out, " of the %s split.\n", report->split);
    lcf_buf_printf(out, "Figures are means over %zu seed%s of A and %zu of B%s.\n", c->seeds_n[0],
                   c->seeds_n[0] == 1 ? "" : "s", c->seeds_n[1],
                   c->seeds_n[0] + c->seeds_n[1] > 2 ? ", ± the standard deviation over seeds"
                                                     : "");
    append_intervals(out, c);
    if (c->stream != LCF_STREAM_SKETCH)
        lcf_buf_printf(
            out, "UAUC and GAUC are means of the AUC of the %zu users who have both classes.\n",
            c->users_both_n);
    append_second_opinions(out, c);
    append_self_test(out, &c->self_test);
    append_dropped(out, &c->dropped);
    if (c->slices_n)
        lcf_buf_printf(out,
                       "Slices are many looks at one sample: judge them by the p-value after "
                       "Holm's correction; of those found by Benjamini and Hochberg's (BH) at .05, "
                       "at most one in twenty is expected to be a false alarm. Slices of under %d "
                       "users get no interval.\n",
                       LCF_SLICE_USERS_MIN);
}
