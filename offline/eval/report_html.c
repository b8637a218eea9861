/*
 * The report as one HTML file that needs nothing else: verdict on top, then tables and charts. It
 * follows the reader's light or dark mode and prints in black on white.
 */
#include "offline/eval/report.h"

#include "common/base/mem.h"
#include "offline/eval/charts.h"
#include "offline/eval/report_style.h"
#include "offline/eval/svg.h"

#include <math.h>
#include <stdlib.h>

static void append_table(lcf_buf *out, const lcf_report *report, lcf_report_table table)
{
    lcf_grid g;
    lcf_status status = lcf_report_grid(&g, report, table);

    if (status)
        out->status = status;
    lcf_grid_html(out, &g);
    lcf_grid_dispose(&g);
}

/* ---- charts ---- */

/* A lift whose interval excludes 0 has the colour of better or worse. */
static const char *lift_css(const lcf_estimate *lift)
{
    if (lift->low > 0)
        return "good";
    return lift->high < 0 ? "bad" : NULL;
}

static void append_forest(lcf_buf *out, const lcf_comparison *c)
{
    static const lcf_forest FOREST = {"AUC lift with 95 % intervals, by slice", 4, false, 0, false};
    const lcf_estimate *all = &c->measures[LCF_METRIC_AUC].lift;
    lcf_forest_row *rows = lcf_alloc_zero(c->slices_n + 1, sizeof(*rows));

    if (!rows) {
        out->status = LCF_ENOMEM;
        return;
    }
    rows[0] = (lcf_forest_row){"all rows", NULL,          all->value, all->low,
                               all->high,  lift_css(all), true,       false};
    for (size_t i = 0; i < c->slices_n; i++) {
        const lcf_slice_result *s = &c->slices[i];
        rows[i + 1] = (lcf_forest_row){
            s->name,     NULL,         s->lift.value,
            s->lift.low, s->lift.high, s->p_holm < 1 - LCF_CONFIDENCE ? lift_css(&s->lift) : NULL,
            false,       false};
    }
    lcf_forest_draw(out, &FOREST, rows, c->slices_n + 1);
    free(rows);
}

static const char *const ARM_CSS[LCF_ARMS] = {"a", "b"};

static void append_legend(lcf_buf *out, lcf_chart *chart, const lcf_report *report)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_buf name = LCF_BUF_INIT;
        lcf_buf_printf(&name, "%s: %s", a ? "B" : "A", report->arm_name[a]);
        lcf_chart_legend(out, chart, ARM_CSS[a], lcf_buf_text(&name));
        lcf_buf_dispose(&name);
    }
}

static void append_roc(lcf_buf *out, const lcf_report *report)
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

static void append_reliability(lcf_buf *out, const lcf_report *report)
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

/* ---- the page ---- */

static void append_verdict(lcf_buf *out, const lcf_report *report)
{
    static const char *const CSS[] = {[LCF_DIRECTION_BETTER] = "good",
                                      [LCF_DIRECTION_WORSE] = "bad",
                                      [LCF_DIRECTION_OPEN] = "open"};

    lcf_buf_printf(out, "<p class=\"verdict %s\">",
                   CSS[lcf_comparison_direction(report->comparison)]);
    lcf_report_verdict(out, report);
    if (report->conditions_n)
        lcf_buf_printf(out, "<br>Gate: <span class=\"%s</span>.",
                       report->passed ? "good\">passed" : "bad\">not passed");
    lcf_buf_append_text(out, "</p>\n");
    if (report->conditions_n)
        append_table(out, report, LCF_TABLE_GATE);
}

static void append_method(lcf_buf *out, const lcf_report *report)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_report_method(&text, report);
    lcf_page_section(out, "method", "How to read this");
    lcf_page_list(out, lcf_buf_text(&text));
    lcf_page_section_end(out);
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

static void append_charts(lcf_buf *out, const lcf_report *report)
{
    lcf_buf_append_text(out, "<section><h2>AUC lift, for all rows and by slice</h2>\n"
                             "<figure><div class=\"wide\">\n");
    append_forest(out, report->comparison);
    lcf_buf_append_text(
        out, "</div><figcaption>Dots are lifts (B - A), lines 95 % intervals; right of 0 B is "
             "better. In colour: the interval of all rows excludes 0, or a slice's p-value after "
             "Holm's correction is below .05.</figcaption></figure></section>\n"
             "<section><h2>Curves</h2><div class=\"charts\">\n<figure>\n");
    append_roc(out, report);
    lcf_buf_append_text(out, "<figcaption>ROC, averaged over seeds. Higher is better; the dashed "
                             "line is guessing.</figcaption></figure>\n<figure>\n");
    append_reliability(out, report);
    lcf_buf_append_text(out, "<figcaption>Reliability in ten bins, all seeds together. On the "
                             "dashed line scores are true probabilities.</figcaption></figure>\n"
                             "</div></section>\n");
}

static void append_details(lcf_buf *out, const lcf_report *report, lcf_report_table table,
                           const char *title)
{
    lcf_buf_printf(out, "<details open><summary>%s</summary>\n", title);
    append_table(out, report, table);
    lcf_buf_append_text(out, "</details>\n");
}

void lcf_report_html(lcf_buf *out, const lcf_report *report)
{
    lcf_buf title = LCF_BUF_INIT;

    lcf_buf_printf(&title, "%s (B) against %s (A)", report->arm_name[1], report->arm_name[0]);
    lcf_page_open(out, lcf_buf_text(&title));
    if (title.status)
        out->status = title.status;
    lcf_buf_dispose(&title);
    append_verdict(out, report);
    lcf_buf_append_text(out, "<section><h2>Measures</h2>\n");
    append_table(out, report, LCF_TABLE_MEASURES);
    lcf_buf_append_text(out, "</section>\n");
    append_charts(out, report);
    append_method(out, report);
    if (report->comparison->slices_n)
        append_details(out, report, LCF_TABLE_SLICES, "Slices as a table");
    append_details(out, report, LCF_TABLE_SEEDS, "Every seed");
    append_details(out, report, LCF_TABLE_BINS, "Calibration as a table");
    lcf_page_close(out);
}
