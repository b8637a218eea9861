/*
 * The report as one HTML file that needs nothing else: verdict on top, then tables and charts. It
 * follows the reader's light or dark mode and prints in black on white.
 */
#include "offline/eval/report.h"
#include "offline/eval/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Arm A is orange, arm B blue: distinguishable with every common colour blindness. */
static const char STYLE[] =
    ":root{--ink:#1b1f24;--soft:#5b6570;--line:#d5dae0;--page:#fff;--card:#f6f8fa;--a:#c05a00;"
    "--b:#0b62b8;--good:#13713a;--bad:#b3261e;color-scheme:light dark}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#9aa4af;--line:#3a424b;"
    "--page:#14171a;--card:#1d2226;--a:#f0954a;--b:#6cb2f5;--good:#5fcf8a;--bad:#ff8a80}}\n"
    "@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--page:#fff;--card:#fff;--a:#c05a00;"
    "--b:#0b62b8;--good:#13713a;--bad:#b3261e}section{break-inside:avoid}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);"
    "max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
    ".verdict{background:var(--card);border:1px solid var(--line);border-left:.4rem solid "
    "var(--soft);border-radius:.4rem;padding:.8rem 1rem;font-size:1.15rem}\n"
    ".verdict.better{border-left-color:var(--good)}.verdict.worse{border-left-color:var(--bad)}\n"
    ".yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
    "font-size:.92rem}th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid "
    "var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "thead th{color:var(--soft);font-weight:600}\n"
    ".charts{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}figcaption{color:var(--soft);"
    "font-size:.9rem;max-width:26rem}svg{max-width:100%;height:auto}\n"
    "svg text{font:13px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}svg "
    ".all{font-weight:600}"
    "svg line,svg polyline{fill:none;stroke-width:2}svg .grid{stroke:var(--line);stroke-width:1}"
    "svg .zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}svg .a{stroke:var(--a)}"
    "svg .b{stroke:var(--b)}svg .ci{stroke:var(--ink)}svg .dot{fill:var(--ink)}"
    "svg .dot.a{fill:var(--a)}svg .dot.b{fill:var(--b)}svg .sure{fill:var(--b);stroke:var(--b)}"
    "svg text.a{fill:var(--a);stroke:none}svg text.b{fill:var(--b);stroke:none}\n"
    "details{margin:1rem 0}summary{cursor:pointer;font-weight:600}p,li{max-width:46rem}\n";

static void append_table(lcf_buf *out, const lcf_report *report, lcf_report_table table)
{
    lcf_grid g;
    lcf_status status = lcf_grid_init(&g, report, table);

    if (status)
        out->status = status;
    if (g.rows_n)
        lcf_buf_append_text(out, "<div class=\"wide\"><table>\n");
    for (size_t row = 0; row < g.rows_n; row++) {
        const char *tag = row ? "td" : "th";
        lcf_buf_append_text(out, row ? "<tr>" : "<thead><tr>");
        for (size_t column = 0; column < g.columns_n; column++) {
            lcf_buf_printf(out, "<%s>", tag);
            lcf_xml_escape(out, lcf_grid_cell(&g, row, column));
            lcf_buf_printf(out, "</%s>", tag);
        }
        lcf_buf_append_text(out, row ? "</tr>\n" : "</tr></thead>\n<tbody>\n");
    }
    if (g.rows_n)
        lcf_buf_append_text(out, "</tbody></table></div>\n");
    lcf_grid_dispose(&g);
}

/* ---- forest plot: the AUC lift of all rows and of each slice ---- */

#define FOREST_WIDTH 860.0
#define FOREST_ROW 24.0
#define FOREST_TOP 12.0

static void widen(lcf_svg_scale *scale, const lcf_estimate *e)
{
    if (!isnan(e->low)) {
        scale->low = fmin(scale->low, e->low);
        scale->high = fmax(scale->high, e->high);
    }
}

static lcf_svg_scale forest_scale(const lcf_comparison *c)
{
    lcf_svg_scale scale = {0, 0, 190, 640};
    double room;

    widen(&scale, &c->measures[LCF_METRIC_AUC].lift);
    for (size_t i = 0; i < c->slices_n; i++)
        widen(&scale, &c->slices[i].lift);
    room = 0.05 * (scale.high - scale.low);
    if (room <= 0)
        room = 0.01; /* the arms are the same */
    scale.low -= room;
    scale.high += room;
    return scale;
}

static void forest_row(lcf_buf *out, const lcf_svg_scale *scale, size_t row, const char *name,
                       const lcf_estimate *e, bool sure)
{
    double y = FOREST_TOP + FOREST_ROW * ((double)row + 0.5);
    char text[80];

    lcf_svg_text(out, row ? "" : "all", "start", 4, y + 4, name);
    if (isnan(e->low)) {
        lcf_svg_text(out, "soft", "start", scale->to + 12, y + 4, "no interval");
        return;
    }
    lcf_svg_line(out, sure ? "sure" : "ci", lcf_svg_at(scale, e->low), y,
                 lcf_svg_at(scale, e->high), y);
    lcf_svg_circle(out, sure ? "sure" : "dot", lcf_svg_at(scale, e->value), y, 4.5);
    snprintf(text, sizeof(text), "%+.4f  [%+.4f, %+.4f]", e->value, e->low, e->high);
    lcf_svg_text(out, row ? "" : "all", "start", scale->to + 12, y + 4, text);
}

static void append_forest(lcf_buf *out, const lcf_comparison *c)
{
    lcf_svg_scale scale = forest_scale(c);
    const lcf_measure *all = &c->measures[LCF_METRIC_AUC];
    double bottom = FOREST_TOP + FOREST_ROW * (double)(c->slices_n + 1);
    double tick = lcf_svg_tick(scale.high - scale.low, 6);
    char text[32];

    lcf_svg_open(out, FOREST_WIDTH, bottom + 26, "AUC lift with 95 % intervals, by slice");
    for (double k = ceil(scale.low / tick); k * tick <= scale.high; k++) {
        double x = lcf_svg_at(&scale, k * tick);
        lcf_svg_line(out, k == 0 ? "zero" : "grid", x, FOREST_TOP, x, bottom);
        snprintf(text, sizeof(text), k == 0 ? "0" : "%+g", k * tick);
        lcf_svg_text(out, "soft", "middle", x, bottom + 18, text);
    }
    forest_row(out, &scale, 0, "all rows", &all->lift, all->lift.low > 0 || all->lift.high < 0);
    for (size_t i = 0; i < c->slices_n; i++)
        forest_row(out, &scale, i + 1, c->slices[i].name, &c->slices[i].lift,
                   c->slices[i].p_holm < 1 - LCF_CONFIDENCE);
    lcf_svg_close(out);
}

/* ---- square charts over the unit interval ---- */

#define SQUARE 400.0

static const lcf_svg_scale UNIT_X = {0, 1, 52, 380};
static const lcf_svg_scale UNIT_Y = {0, 1, 340, 12};
static const char *const ARM_CSS[LCF_ARMS] = {"a", "b"};

static void open_square(lcf_buf *out, const char *title, const char *x_name, const char *y_name,
                        const lcf_report *report)
{
    char text[96];

    lcf_svg_open(out, SQUARE, SQUARE - 12, title);
    for (int k = 0; k <= 5; k++) {
        double x = lcf_svg_at(&UNIT_X, k / 5.0), y = lcf_svg_at(&UNIT_Y, k / 5.0);
        snprintf(text, sizeof(text), "%g", k / 5.0);
        lcf_svg_line(out, "grid", x, UNIT_Y.from, x, UNIT_Y.to);
        lcf_svg_line(out, "grid", UNIT_X.from, y, UNIT_X.to, y);
        lcf_svg_text(out, "soft", "middle", x, UNIT_Y.from + 18, text);
        lcf_svg_text(out, "soft", "end", UNIT_X.from - 6, y + 4, text);
    }
    lcf_svg_line(out, "zero", UNIT_X.from, UNIT_Y.from, UNIT_X.to, UNIT_Y.to);
    lcf_svg_text(out, "soft", "middle", (UNIT_X.from + UNIT_X.to) / 2, SQUARE - 20, x_name);
    lcf_buf_printf(out, "<g transform=\"translate(14 %.0f) rotate(-90)\">", UNIT_Y.from / 2);
    lcf_svg_text(out, "soft", "middle", 0, 0, y_name);
    lcf_buf_append_text(out, "</g>\n");
    for (size_t a = 0; a < LCF_ARMS; a++) {
        snprintf(text, sizeof(text), "%s: %s", a ? "B" : "A", report->arm_name[a]);
        lcf_svg_text(out, ARM_CSS[a], "end", UNIT_X.to - 8, UNIT_Y.from - 28 + 18 * (double)a,
                     text);
    }
}

static void append_roc(lcf_buf *out, const lcf_report *report)
{
    double x[LCF_ROC_POINTS + 1], y[LCF_ROC_POINTS + 1];

    open_square(out, "ROC curves of both arms", "false positive rate", "true positive rate",
                report);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        x[0] = UNIT_X.from;
        y[0] = UNIT_Y.from;
        for (size_t i = 0; i < LCF_ROC_POINTS; i++) {
            x[i + 1] = lcf_svg_at(&UNIT_X, (double)i / (LCF_ROC_POINTS - 1));
            y[i + 1] = lcf_svg_at(&UNIT_Y, report->comparison->roc[a][i]);
        }
        lcf_svg_polyline(out, ARM_CSS[a], x, y, LCF_ROC_POINTS + 1);
    }
    lcf_svg_close(out);
}

static void append_reliability(lcf_buf *out, const lcf_report *report)
{
    double x[LCF_CALIBRATION_BINS], y[LCF_CALIBRATION_BINS];

    open_square(out, "Reliability of both arms", "mean score of the bin", "share of positives",
                report);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        char css[8];
        size_t n = 0;
        snprintf(css, sizeof(css), "dot %s", ARM_CSS[a]);
        for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
            const lcf_calibration_bin *bin = &report->comparison->calibration[a].bins[b];
            if (!bin->rows_n)
                continue;
            x[n] = lcf_svg_at(&UNIT_X, bin->score_sum / (double)bin->rows_n);
            y[n] = lcf_svg_at(&UNIT_Y, bin->positives / (double)bin->rows_n);
            lcf_svg_circle(out, css, x[n], y[n], 3.5);
            n++;
        }
        lcf_svg_polyline(out, ARM_CSS[a], x, y, n);
    }
    lcf_svg_close(out);
}

/* ---- the page ---- */

static void append_verdict(lcf_buf *out, const lcf_report *report)
{
    static const char *const CSS[] = {[LCF_VERDICT_BETTER] = "better",
                                      [LCF_VERDICT_WORSE] = "worse",
                                      [LCF_VERDICT_OPEN] = "open"};

    lcf_buf_printf(out, "<p class=\"verdict %s\">",
                   CSS[lcf_comparison_verdict(report->comparison)]);
    lcf_report_verdict(out, report);
    if (report->conditions_n)
        lcf_buf_printf(out, "<br>Gate: <span class=\"%s</span>.",
                       report->passed ? "yes\">passed" : "no\">not passed");
    lcf_buf_append_text(out, "</p>\n");
    if (report->conditions_n)
        append_table(out, report, LCF_TABLE_GATE);
}

static void append_method(lcf_buf *out, const lcf_report *report)
{
    lcf_buf text = LCF_BUF_INIT;
    char *line, *rest = NULL;

    lcf_report_method(&text, report);
    lcf_buf_append_text(out, "<section><h2>How to read this</h2>\n<ul>\n");
    for (line = text.data ? strtok_r(text.data, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        lcf_buf_append_text(out, "<li>");
        lcf_xml_escape(out, line);
        lcf_buf_append_text(out, "</li>\n");
    }
    lcf_buf_append_text(out, "</ul></section>\n");
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
    lcf_buf_printf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, "
                        "initial-scale=1\">\n<title>");
    lcf_xml_escape(out, report->arm_name[1]);
    lcf_buf_append_text(out, " against ");
    lcf_xml_escape(out, report->arm_name[0]);
    lcf_buf_printf(out, "</title>\n<style>\n%s</style></head>\n<body>\n<h1>", STYLE);
    lcf_xml_escape(out, report->arm_name[1]);
    lcf_buf_append_text(out, " (B) against ");
    lcf_xml_escape(out, report->arm_name[0]);
    lcf_buf_append_text(out, " (A)</h1>\n");
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
    lcf_buf_append_text(out, "</body></html>\n");
}
