/* The charts of a report. Arm A is dashed and orange, arm B solid and blue (report_style.h). */
#include "offline/eval/report.h"

#include "common/base/mem.h"
#include "offline/eval/charts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const ARM_CSS[LCF_ARMS] = {"a", "b"};

/* ---- forest plots ---- */

/* A lift whose interval excludes 0 has the colour of better or worse. */
static const char *lift_css(const lcf_estimate *lift, bool higher_is_better)
{
    if (!(lift->low > 0) && !(lift->high < 0))
        return NULL;
    return (lift->low > 0) == higher_is_better ? "good" : "bad";
}

void lcf_report_measures_chart(lcf_buf *out, const lcf_report *report)
{
    static const lcf_forest FOREST = {"Lift of every measure with its 95 % interval", 4, false, 0,
                                      true};
    const lcf_comparison *c = report->comparison;
    char titles[LCF_METRICS_N][LCF_METRIC_TITLE_MAX];
    lcf_forest_row rows[LCF_METRICS_N];
    size_t n = 0;

    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        const lcf_metric_info *info = &LCF_METRIC_INFO[m];
        const lcf_estimate *lift = &c->measures[m].lift;
        if (!lcf_report_has_metric(c, (lcf_metric)m))
            continue;
        lcf_report_metric_title(titles[n], (lcf_metric)m, c);
        rows[n] = (lcf_forest_row){.name = titles[n],
                                   .note = info->higher_is_better ? NULL : "lower is better",
                                   .value = lift->value,
                                   .low = lift->low,
                                   .high = lift->high,
                                   .css = lift_css(lift, info->higher_is_better),
                                   .bold = m == LCF_METRIC_AUC,
                                   .flipped = !info->higher_is_better};
        n++;
    }
    lcf_forest_draw(out, &FOREST, rows, n);
}

/* Rows and adjusted p-values right of each interval. shapes: notes [slices_n, 48] */
static void fill_slices(lcf_forest_row *rows, char (*notes)[48], const lcf_comparison *c)
{
    const lcf_estimate *all = &c->measures[LCF_METRIC_AUC].lift;

    rows[0] = (lcf_forest_row){.name = "all rows",
                               .note = "p after Holm",
                               .value = all->value,
                               .low = all->low,
                               .high = all->high,
                               .css = lift_css(all, true),
                               .bold = true};
    for (size_t i = 0; i < c->slices_n; i++) {
        const lcf_slice_result *s = &c->slices[i];
        snprintf(notes[i], sizeof(notes[i]), "%.3f", s->p_holm);
        rows[i + 1] = (lcf_forest_row){.name = s->name,
                                       .note = isnan(s->p_holm) ? NULL : notes[i],
                                       .value = s->lift.value,
                                       .low = s->lift.low,
                                       .high = s->lift.high};
        if (s->p_holm < 1 - LCF_CONFIDENCE)
            rows[i + 1].css = lift_css(&s->lift, true);
    }
}

void lcf_report_slices_chart(lcf_buf *out, const lcf_report *report)
{
    static const lcf_forest FOREST = {"AUC lift with 95 % intervals, by slice, the worst first", 4,
                                      false, 0, false};
    const lcf_comparison *c = report->comparison;
    lcf_forest_row *rows = lcf_alloc_zero(c->slices_n + 1, sizeof(*rows));
    char(*notes)[48] = lcf_alloc_zero(c->slices_n + 1, sizeof(*notes));

    if (rows && notes) {
        fill_slices(rows, notes, c);
        lcf_forest_draw(out, &FOREST, rows, c->slices_n + 1);
    } else {
        out->status = LCF_ENOMEM;
    }
    free(rows);
    free(notes);
}

/* ---- curves ---- */

static void append_legend(lcf_buf *out, lcf_chart *chart, const lcf_report *report)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_buf name = LCF_BUF_INIT;
        lcf_buf_printf(&name, "%s: %s", a ? "B" : "A", report->arm_name[a]);
        lcf_chart_legend(out, chart, ARM_CSS[a], lcf_buf_text(&name));
        lcf_buf_dispose(&name);
    }
}

void lcf_report_roc_chart(lcf_buf *out, const lcf_report *report)
{
    const lcf_axis x = {"false positive rate", 0, 1}, y = {"true positive rate", 0, 1};
    double xs[LCF_ROC_POINTS + 1] = {0}, ys[LCF_ROC_POINTS + 1] = {0};
    lcf_chart chart;

    lcf_chart_open(out, &chart, "ROC curves of both arms", &x, &y, LCF_ARMS);
    lcf_chart_reference(out, &chart, 0, 0, 1, 1);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        for (size_t i = 0; i < LCF_ROC_POINTS; i++) {
            xs[i + 1] = (double)i / (LCF_ROC_POINTS - 1);
            ys[i + 1] = report->comparison->roc[a][i];
        }
        lcf_chart_line(out, &chart, ARM_CSS[a], xs, ys, LCF_ROC_POINTS + 1);
    }
    lcf_chart_close(out);
}

void lcf_report_pr_chart(lcf_buf *out, const lcf_report *report)
{
    const lcf_axis x = {"recall", 0, 1}, y = {"precision", 0, 1};
    double xs[LCF_PR_POINTS], positives;
    lcf_chart chart;

    positives = (double)report->comparison->positives_n / (double)report->comparison->rows_n;
    for (size_t i = 0; i < LCF_PR_POINTS; i++)
        xs[i] = (double)i / (LCF_PR_POINTS - 1);
    lcf_chart_open(out, &chart, "Precision-recall curves of both arms", &x, &y, LCF_ARMS);
    lcf_chart_reference(out, &chart, 0, positives, 1, positives);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++)
        lcf_chart_line(out, &chart, ARM_CSS[a], xs, report->comparison->pr[a], LCF_PR_POINTS);
    lcf_chart_close(out);
}

void lcf_report_reliability_chart(lcf_buf *out, const lcf_report *report)
{
    const lcf_axis x = {"mean score of the bin", 0, 1}, y = {"share of positives", 0, 1};
    double xs[LCF_CALIBRATION_BINS], ys[LCF_CALIBRATION_BINS];
    lcf_chart chart;

    lcf_chart_open(out, &chart, "Reliability of both arms", &x, &y, LCF_ARMS);
    lcf_chart_reference(out, &chart, 0, 0, 1, 1);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
            const lcf_calibration_bin *bin = &report->comparison->calibration[a].bins[b];
            double n = bin->rows_n ? (double)bin->rows_n : NAN;
            xs[b] = bin->score_sum / n;
            ys[b] = bin->positives / n;
        }
        lcf_chart_line(out, &chart, ARM_CSS[a], xs, ys, LCF_CALIBRATION_BINS);
        lcf_chart_dots(out, &chart, ARM_CSS[a], xs, ys, LCF_CALIBRATION_BINS);
    }
    lcf_chart_close(out);
}

/* ---- distributions of scores ---- */

static void hold_shares(lcf_axis *y, const lcf_score_sample *s)
{
    if (s->n)
        lcf_axis_hold(y, s->bins, LCF_SCORE_BINS);
}

static void append_bars(lcf_buf *out, const lcf_chart *chart, const char *css,
                        const lcf_score_sample *s)
{
    for (size_t b = 0; s->n && b < LCF_SCORE_BINS; b++)
        lcf_chart_bar(out, chart, css, (double)b / LCF_SCORE_BINS, (double)(b + 1) / LCF_SCORE_BINS,
                      s->bins[b]);
}

/* The outline of the bars: it stays readable where two histograms overlap. */
static void append_steps(lcf_buf *out, const lcf_chart *chart, const char *css,
                         const lcf_score_sample *s)
{
    double x[2 * LCF_SCORE_BINS], y[2 * LCF_SCORE_BINS];

    for (size_t b = 0; b < LCF_SCORE_BINS; b++) {
        x[2 * b] = (double)b / LCF_SCORE_BINS;
        x[2 * b + 1] = (double)(b + 1) / LCF_SCORE_BINS;
        y[2 * b] = y[2 * b + 1] = s->bins[b];
    }
    if (s->n)
        lcf_chart_line(out, chart, css, x, y, 2 * LCF_SCORE_BINS);
}

static void open_scores(lcf_buf *out, lcf_chart *chart, const char *title,
                        const lcf_score_sample *first, const lcf_score_sample *second)
{
    const lcf_axis x = {"score", 0, 1};
    lcf_axis y = {"share of the scores", 0, 0};

    hold_shares(&y, first);
    hold_shares(&y, second);
    y.high = y.high > 0 ? 1.05 * y.high : 1;
    lcf_chart_open(out, chart, title, &x, &y, 2);
}

void lcf_report_scores_chart(lcf_buf *out, const lcf_report *report)
{
    const lcf_score_sample *scores = report->background->scores;
    lcf_chart chart;

    open_scores(out, &chart, "Scores of both arms", &scores[0], &scores[1]);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++)
        append_bars(out, &chart, ARM_CSS[a], &scores[a]);
    for (size_t a = 0; a < LCF_ARMS; a++)
        append_steps(out, &chart, ARM_CSS[a], &scores[a]);
    lcf_chart_close(out);
}

void lcf_report_drift_chart(lcf_buf *out, const lcf_report *report, size_t arm)
{
    const lcf_background *b = report->background;
    lcf_buf name = LCF_BUF_INIT;
    lcf_chart chart;

    if (!b->elsewhere[arm].n)
        return;
    open_scores(out, &chart, "Scores of one arm on both splits", &b->scores[arm],
                &b->elsewhere[arm]);
    lcf_buf_printf(&name, "%s: %s split", arm ? "B" : "A", report->split);
    lcf_chart_legend(out, &chart, ARM_CSS[arm], lcf_buf_text(&name));
    lcf_buf_reset(&name);
    lcf_buf_printf(&name, "%s: %s split", arm ? "B" : "A", b->other_split);
    lcf_chart_legend(out, &chart, "other", lcf_buf_text(&name));
    lcf_buf_dispose(&name);
    append_bars(out, &chart, ARM_CSS[arm], &b->scores[arm]);
    append_steps(out, &chart, ARM_CSS[arm], &b->scores[arm]);
    append_steps(out, &chart, "other", &b->elsewhere[arm]);
    lcf_chart_close(out);
}

/* ---- latency ---- */

/* Up to the 99th percentile: the last one is the maximum, which would flatten all others. */
void lcf_report_latency_chart(lcf_buf *out, const lcf_report *report)
{
    const lcf_latency *latency = report->background->latency;
    const lcf_axis x = {"percentile of the answers", 0, 100};
    lcf_axis y = {"milliseconds", 0, 0};
    double xs[LCF_LATENCY_POINTS];
    lcf_chart chart;

    if (!latency[0].known && !latency[1].known)
        return;
    for (size_t i = 0; i < LCF_LATENCY_POINTS; i++)
        xs[i] = (double)i;
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (latency[a].known)
            lcf_axis_hold(&y, latency[a].total_ms, LCF_LATENCY_POINTS - 1);
    y.high = y.high > 0 ? 1.05 * y.high : 1;
    lcf_chart_open(out, &chart, "Latency of both arms by percentile", &x, &y, LCF_ARMS);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (latency[a].known)
            lcf_chart_line(out, &chart, ARM_CSS[a], xs, latency[a].total_ms,
                           LCF_LATENCY_POINTS - 1);
    lcf_chart_close(out);
}

/* ---- learning curves ---- */

static const double *curve_of(const lcf_training_seed *s, bool loss)
{
    return loss ? s->loss : s->valid_auc;
}

static bool hold_curves(lcf_axis *x, lcf_axis *y, const lcf_report *report, bool loss)
{
    bool any = false;

    for (size_t a = 0; a < LCF_ARMS; a++) {
        const lcf_training *t = &report->background->training[a];
        for (size_t s = 0; s < t->seeds_n; s++) {
            const double epochs_n = (double)t->seeds[s].epochs_n;
            lcf_axis_hold(x, &epochs_n, 1);
            lcf_axis_hold(y, curve_of(&t->seeds[s], loss), t->seeds[s].epochs_n);
            any = true;
        }
    }
    return any;
}

/* Its best epoch, whose weights were kept, has a dot. */
static void append_curve(lcf_buf *out, const lcf_chart *chart, size_t arm,
                         const lcf_training_seed *s, bool loss)
{
    const double *y = curve_of(s, loss), best = (double)s->best_epoch;
    double *x = lcf_alloc(s->epochs_n + 1, sizeof(*x));

    if (!x) {
        out->status = LCF_ENOMEM;
        return;
    }
    for (size_t i = 0; i < s->epochs_n; i++)
        x[i] = (double)(i + 1);
    lcf_chart_line(out, chart, ARM_CSS[arm], x, y, s->epochs_n);
    lcf_chart_dots(out, chart, ARM_CSS[arm], &best, &y[s->best_epoch - 1], 1);
    free(x);
}

void lcf_report_learning_chart(lcf_buf *out, const lcf_report *report, bool loss)
{
    lcf_axis x = {"epoch", 1, 2}, y = {loss ? "training loss" : "valid AUC", NAN, NAN};
    lcf_chart chart;

    if (!hold_curves(&x, &y, report, loss))
        return;
    lcf_axis_ease(&y);
    lcf_chart_open(out, &chart, loss ? "Training loss by epoch" : "Valid AUC by epoch", &x, &y,
                   LCF_ARMS);
    append_legend(out, &chart, report);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        const lcf_training *t = &report->background->training[a];
        for (size_t s = 0; s < t->seeds_n; s++)
            append_curve(out, &chart, a, &t->seeds[s], loss);
    }
    lcf_chart_close(out);
}
