/*
 * A counterfactual evaluation for a terminal and as a page, both out of the report in JSON.
 */
#include "offline/eval/charts.h"
#include "offline/eval/gate_json.h"
#include "offline/eval/grid.h"
#include "offline/eval/ope/ope.h"
#include "offline/eval/ope/report.h"
#include "offline/eval/report_style.h"

#include <math.h>
#include <string.h>

static double real_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double bound_at(const json_t *estimate, const char *interval, size_t side)
{
    const json_t *value = json_array_get(json_object_get(estimate, interval), side);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static void put_interval(lcf_grid *g, size_t row, size_t column, const json_t *estimate,
                         const char *interval)
{
    double low = bound_at(estimate, interval, 0), high = bound_at(estimate, interval, 1);

    if (isnan(low))
        lcf_grid_put(g, row, column, LCF_CELL_UNDEFINED);
    else
        lcf_grid_put(g, row, column, "%.5f to %.5f", low, high);
}

static void put_lambda(lcf_grid *g, size_t row, size_t column, const json_t *lambda)
{
    if (json_is_number(lambda))
        lcf_grid_put(g, row, column, "%.4g", json_number_value(lambda));
    else
        lcf_grid_put(g, row, column, "%s", json_is_string(lambda) ? "none" : LCF_CELL_UNDEFINED);
}

static void estimator_row(lcf_grid *g, size_t row, const json_t *e, bool errors)
{
    const json_t *value = json_object_get(e, "value"), *lift = json_object_get(e, "lift");

    lcf_grid_put(g, row, 0, "%s", text_at(e, "title"));
    lcf_grid_number(g, row, 1, 5, real_at(value, "value"));
    put_interval(g, row, 2, value, "bootstrap");
    put_interval(g, row, 3, value, "normal");
    lcf_grid_signed(g, row, 4, 5, real_at(lift, "value"));
    put_interval(g, row, 5, lift, "bootstrap");
    lcf_grid_number(g, row, 6, 1, real_at(e, "ess"));
    put_lambda(g, row, 7, json_object_get(e, "lambda"));
    if (errors)
        lcf_grid_number(g, row, 8, 3, real_at(e, "relative_error"));
}

/* An estimator with a value, per "row" or per "request". */
static bool is_of_unit(const json_t *estimator, const char *unit)
{
    return !strcmp(text_at(estimator, "unit"), unit) &&
           json_is_object(json_object_get(estimator, "value"));
}

/* The estimators of one unit; no rows where there are none. errors: ENOMEM */
static lcf_status estimator_grid(lcf_grid *g, const json_t *report, const char *unit)
{
    static const char *const NAMES[] = {"estimator",   "value",  "95 % bootstrap",
                                        "95 % normal", "lift",   "95 % of the lift",
                                        "ESS",         "lambda", "error"};
    bool errors = json_is_object(json_object_get(report, "on_policy"));
    const json_t *list = json_object_get(report, "estimators");
    size_t n = 0;
    lcf_status status;

    for (size_t i = 0; i < json_array_size(list); i++)
        n += is_of_unit(json_array_get(list, i), unit);
    *g = (lcf_grid){0, 0, NULL};
    if (!n)
        return LCF_OK;
    status = lcf_grid_create(g, n + 1, errors ? 9 : 8, NAMES);
    n = 0;
    for (size_t i = 0; i < json_array_size(list) && !status; i++)
        if (is_of_unit(json_array_get(list, i), unit))
            estimator_row(g, ++n, json_array_get(list, i), errors);
    return status;
}

/* ---- terminal ---- */

static void print_grid(lcf_buf *out, const lcf_grid *g)
{
    for (size_t row = 0; row < g->rows_n; row++) {
        lcf_buf_printf(out, "  %-24s", lcf_grid_cell(g, row, 0));
        lcf_buf_printf(out, " %9s", lcf_grid_cell(g, row, 1));
        lcf_buf_printf(out, "  %-20s", lcf_grid_cell(g, row, 2));
        lcf_buf_printf(out, "  %9s", lcf_grid_cell(g, row, 4));
        lcf_buf_printf(out, "  %-21s", lcf_grid_cell(g, row, 5));
        lcf_buf_printf(out, " %9s", lcf_grid_cell(g, row, 6));
        lcf_buf_printf(out, " %8s", lcf_grid_cell(g, row, 7));
        if (g->columns_n > 8)
            lcf_buf_printf(out, " %8s", lcf_grid_cell(g, row, 8));
        lcf_buf_append_char(out, '\n');
    }
}

/* One line a reason: "<prefix>A, B: why". */
static void append_absent(lcf_buf *out, const json_t *report, const char *prefix)
{
    const json_t *list = json_object_get(report, "estimators");
    const char *last = "";

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        const char *why = json_string_value(json_object_get(e, "absent"));
        if (!why)
            continue;
        if (*last && strcmp(why, last))
            lcf_buf_printf(out, ": %s\n", last);
        lcf_buf_printf(out, "%s%s", strcmp(why, last) ? prefix : ", ", text_at(e, "title"));
        last = why;
    }
    if (*last)
        lcf_buf_printf(out, ": %s\n", last);
}

static void append_warnings(lcf_buf *out, const json_t *report, const char *prefix)
{
    const json_t *list = json_object_get(report, "warnings");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        lcf_buf_printf(out, "%s%s\n", prefix, text ? text : "?");
    }
}

void lcf_ope_report_summary(lcf_buf *out, const json_t *report)
{
    static const char *const UNITS[] = {"row", "request"};
    const json_t *weights = json_object_get(report, "weights");

    lcf_buf_printf(out, "%s\n", text_at(report, "summary"));
    for (size_t u = 0; u < 2; u++) {
        lcf_grid g;
        if (estimator_grid(&g, report, UNITS[u]))
            out->status = LCF_ENOMEM;
        print_grid(out, &g);
        lcf_grid_dispose(&g);
    }
    append_absent(out, report, "  no estimate by ");
    if (json_is_object(weights))
        lcf_buf_printf(out,
                       "  weights: mean %.4f +- %.4f, largest %.4g, %.1f %% of the weight in the "
                       "top 1 %% of rows\n",
                       real_at(weights, "mean"), real_at(weights, "mean_se"),
                       real_at(weights, "max"), 100 * real_at(weights, "top_share"));
    append_warnings(out, report, "  warning: ");
    lcf_gate_summary(out, json_object_get(report, "gate"));
}

/* ---- page ---- */

/* "good" or "bad" where the interval of the lift excludes 0, else NULL. */
static const char *lift_css(const json_t *estimator)
{
    const json_t *lift = json_object_get(estimator, "lift");

    if (bound_at(lift, "bootstrap", 0) > 0)
        return "good";
    return bound_at(lift, "bootstrap", 1) < 0 ? "bad" : NULL;
}

static void append_forest(lcf_buf *out, const json_t *report, const char *unit)
{
    lcf_forest_row rows[LCF_OPE_OUTCOMES_N];
    double logged = real_at(json_object_get(json_object_get(report, "logged"), unit), "value");
    const json_t *on_policy = json_object_get(report, "on_policy");
    lcf_forest forest = {"value of the target policy by estimator", 5, true, logged, false};
    const json_t *list = json_object_get(report, "estimators");
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list) && n < LCF_OPE_OUTCOMES_N; i++) {
        const json_t *e = json_array_get(list, i), *value = json_object_get(e, "value");
        if (is_of_unit(e, unit))
            rows[n++] = (lcf_forest_row){.name = text_at(e, "title"),
                                         .value = real_at(value, "value"),
                                         .low = bound_at(value, "bootstrap", 0),
                                         .high = bound_at(value, "bootstrap", 1),
                                         .css = lift_css(e)};
    }
    if (!n)
        return;
    lcf_buf_append_text(out, "<figure><div class=\"wide\">\n");
    lcf_forest_draw(out, &forest, rows, n);
    lcf_buf_printf(out,
                   "</div><figcaption>Value per %s with 95 %% bootstrap intervals. The dashed "
                   "line is what the logging policy earned, %.5f",
                   unit, logged);
    if (json_is_object(on_policy) && !strcmp(unit, "row"))
        lcf_buf_printf(out, "; the target policy's own log has %.5f", real_at(on_policy, "value"));
    lcf_buf_append_text(out, ". In colour: the interval of the lift excludes 0."
                             "</figcaption></figure>\n");
}

static void append_unit(lcf_buf *out, const json_t *report, const char *unit, const char *title)
{
    lcf_grid g;

    if (estimator_grid(&g, report, unit))
        out->status = LCF_ENOMEM;
    if (g.rows_n) {
        lcf_page_section(out, unit, title);
        append_forest(out, report, unit);
        lcf_grid_html(out, &g);
        lcf_page_section_end(out);
    }
    lcf_grid_dispose(&g);
}

static void append_lorenz(lcf_buf *out, const json_t *weights)
{
    const lcf_axis x = {"share of the rows, largest weights first", 0, 1};
    const lcf_axis y = {"share of all weight", 0, 1};
    double rows[LCF_OPE_LORENZ_POINTS], held[LCF_OPE_LORENZ_POINTS];
    lcf_chart chart;

    for (size_t p = 0; p < LCF_OPE_LORENZ_POINTS; p++) {
        rows[p] = (double)p / (LCF_OPE_LORENZ_POINTS - 1);
        held[p] = json_number_value(json_array_get(json_object_get(weights, "lorenz"), p));
    }
    lcf_buf_append_text(out, "<figure>\n");
    lcf_chart_open(out, &chart, "concentration of the weights", &x, &y, 0);
    lcf_chart_reference(out, &chart, 0, 0, 1, 1);
    lcf_chart_line(out, &chart, "b", rows, held, LCF_OPE_LORENZ_POINTS);
    lcf_chart_close(out);
    lcf_buf_append_text(out, "<figcaption>How few rows the estimates hang on. The dashed line is a "
                             "log of the target policy itself.</figcaption></figure>\n");
}

static void append_examination(lcf_buf *out, const json_t *examination)
{
    const json_t *list = json_object_get(examination, "positions");
    size_t n = json_array_size(list);
    const lcf_axis x = {"position", 0.5, (double)n + 0.5}, y = {"examination", 0, 1.2};
    lcf_chart chart;

    if (n < 2)
        return;
    lcf_buf_append_text(out, "<figure>\n");
    lcf_chart_open(out, &chart, "examination by position", &x, &y, 0);
    for (size_t p = 0; p < n; p++)
        lcf_chart_bar(out, &chart, "b", (double)p + 0.65, (double)p + 1.35,
                      fmin(1.2, json_number_value(json_array_get(list, p))));
    lcf_chart_close(out);
    lcf_buf_printf(out,
                   "<figcaption>How likely a position is looked at, relative to the first (%s)."
                   "</figcaption></figure>\n",
                   text_at(examination, "method"));
}

static void append_trust(lcf_buf *out, const json_t *report)
{
    const json_t *weights = json_object_get(report, "weights");
    lcf_buf text = LCF_BUF_INIT;

    append_warnings(&text, report, "");
    append_absent(&text, report, "No estimate by ");
    lcf_page_section(out, "trust", "How far to trust this");
    if (json_is_object(weights))
        lcf_buf_printf(&text,
                       "Weights average %.4f +- %.4f (1 is expected), the largest is %.4g, the top "
                       "1 %% of the rows hold %.1f %% of the weight; effective sample size %.1f.\n",
                       real_at(weights, "mean"), real_at(weights, "mean_se"),
                       real_at(weights, "max"), 100 * real_at(weights, "top_share"),
                       real_at(weights, "ess"));
    if (json_is_object(json_object_get(report, "model")))
        lcf_buf_printf(
            &text, "Reward model: held-out log loss %.5f, that of the mean reward alone %.5f.\n",
            real_at(json_object_get(report, "model"), "log_loss"),
            real_at(json_object_get(report, "model"), "log_loss_constant"));
    lcf_page_list(out, lcf_buf_text(&text));
    lcf_buf_append_text(out, "<div class=\"charts\">\n");
    if (json_is_object(weights))
        append_lorenz(out, weights);
    append_examination(out, json_object_get(report, "examination"));
    lcf_buf_append_text(out, "</div>\n");
    lcf_page_section_end(out);
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

static void append_method(lcf_buf *out, const json_t *report)
{
    const json_t *log = json_object_get(report, "log"), *b = json_object_get(report, "bootstrap");
    lcf_buf text = LCF_BUF_INIT;

    lcf_buf_printf(&text,
                   "The log is %s: %.0f rows, %.0f actions, %.0f positions. The target policy "
                   "is %s.\n",
                   text_at(log, "path"), real_at(log, "rows"), real_at(log, "actions"),
                   real_at(log, "positions"), text_at(report, "target"));
    lcf_buf_printf(&text,
                   "Bootstrap intervals are percentiles of %.0f replicates (seed %.0f) that draw "
                   "every %s with all that belongs to it; normal ones are clustered in the same "
                   "way. Reward model and lambda are kept as they are in every replicate.\n",
                   real_at(b, "replicates"), real_at(b, "seed"), text_at(b, "cluster"));
    lcf_buf_append_text(
        &text, "IPS and DR are unbiased when the propensities are right and the logging "
               "policy can do what the target does; SNIPS and SNDR nearly so. Clipped IPS, "
               "Switch-DR and DRos trade bias for variance; the direct method is as biased "
               "as its model, and its interval does not cover that.\n"
               "The lift is the target policy against the logging policy, on the same "
               "rows.\n");
    lcf_page_section(out, "method", "How to read this");
    lcf_page_list(out, lcf_buf_text(&text));
    lcf_page_section_end(out);
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}

/* The colour of the headline's lift. */
static const char *verdict_css(const json_t *report)
{
    const json_t *list = json_object_get(report, "estimators");
    const char *css = NULL;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        if (!strcmp(text_at(e, "name"), text_at(report, "headline")))
            css = lift_css(e);
    }
    return css ? css : "";
}

void lcf_ope_report_html(lcf_buf *out, const json_t *report)
{
    const json_t *gate = json_object_get(report, "gate");
    lcf_buf text = LCF_BUF_INIT;

    lcf_page_open(out, "What another policy would have earned");
    lcf_buf_printf(out, "<p class=\"verdict %s\">", verdict_css(report));
    lcf_xml_escape(out, text_at(report, "summary"));
    if (json_is_object(gate))
        lcf_buf_printf(out, "<br>Gate: <span class=\"%s</span>.",
                       json_is_true(json_object_get(gate, "passed")) ? "yes\">passed"
                                                                     : "no\">not passed");
    lcf_buf_append_text(out, "</p>\n");
    lcf_gate_summary(&text, gate);
    if (text.len)
        lcf_page_list(out, lcf_buf_text(&text));
    append_unit(out, report, "row", "Value per row");
    append_unit(out, report, "request", "Value per request (whole lists)");
    append_trust(out, report);
    append_method(out, report);
    lcf_page_close(out);
    if (text.status)
        out->status = text.status;
    lcf_buf_dispose(&text);
}
