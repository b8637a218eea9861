/* The table of several rankers against one baseline, in four forms. */
#include "offline/eval/arms_report.h"

#include "common/base/cli.h"
#include "common/base/mem.h"
#include "offline/eval/charts.h"
#include "offline/eval/grid.h"
#include "offline/eval/report_style.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The measures that people get to see, by the names of the trade. */
static const struct {
    lcf_metric metric;
    const char *title;
} SHOWN[] = {{LCF_METRIC_AUC, "AUC"}, {LCF_METRIC_UAUC, "UAUC"}, {LCF_METRIC_LOGLOSS, "log loss"}};
#define SHOWN_N (sizeof(SHOWN) / sizeof(SHOWN[0]))

/* Where the figures of a system stand: its own are those of B, the baseline's those of A in the
 * first comparison. */
typedef struct side {
    const lcf_comparison *c;
    size_t arm;
} side;

static side side_of(const lcf_arms_result *result, size_t system)
{
    return system ? (side){&result->systems[system].comparison, 1}
                  : (side){&result->systems[1].comparison, 0};
}

static bool is_sure(const lcf_arms_system *s, lcf_metric metric)
{
    return s->p_holm[metric] < 1 - LCF_CONFIDENCE;
}

static bool is_better(const lcf_arms_system *s, lcf_metric metric)
{
    return (s->comparison.measures[metric].lift.value > 0) ==
           LCF_METRIC_INFO[metric].higher_is_better;
}

/* ---- for people ---- */

static void put_value(lcf_grid *g, size_t row, size_t column, const lcf_measure *m, size_t arm)
{
    lcf_grid_number(g, row, column, 4, m->arm[arm].value);
    if (!isnan(m->std[arm]))
        lcf_grid_put(g, row, column, "%.4f ± %.4f", m->arm[arm].value, m->std[arm]);
}

static void put_measure(lcf_grid *g, size_t row, size_t column, const lcf_arms_result *result,
                        size_t system, lcf_metric metric)
{
    const side s = side_of(result, system);
    const lcf_measure *m = &s.c->measures[metric];
    const lcf_estimate *lift = &m->lift;

    put_value(g, row, column, m, s.arm);
    if (!system || isnan(lift->value))
        lcf_grid_put(g, row, column + 1, LCF_CELL_UNDEFINED);
    else if (isnan(lift->low))
        lcf_grid_signed(g, row, column + 1, 4, lift->value);
    else
        lcf_grid_put(g, row, column + 1, "%+.4f [%+.4f, %+.4f]%s", lift->value, lift->low,
                     lift->high, is_sure(&result->systems[system], metric) ? " *" : "");
}

static void put_system(lcf_grid *g, size_t system, const lcf_arms_result *result)
{
    lcf_grid_put(g, system + 1, 0, "%s%s", result->systems[system].name,
                 system ? "" : " (baseline)");
}

static lcf_status measures_grid(lcf_grid *g, const lcf_arms_result *result)
{
    lcf_status status = lcf_grid_create(g, result->section->dirs_n + 1, 1 + 2 * SHOWN_N, NULL);

    if (status)
        return status;
    lcf_grid_put(g, 0, 0, "system");
    for (size_t k = 0; k < SHOWN_N; k++) {
        const bool higher = LCF_METRIC_INFO[SHOWN[k].metric].higher_is_better;
        lcf_grid_put(g, 0, 1 + 2 * k, "%s%s", SHOWN[k].title, higher ? "" : " (lower is better)");
        lcf_grid_put(g, 0, 2 + 2 * k, "lift [95 %% interval]");
    }
    for (size_t i = 0; i < result->section->dirs_n; i++) {
        put_system(g, i, result);
        for (size_t k = 0; k < SHOWN_N; k++)
            put_measure(g, i + 1, 1 + 2 * k, result, i, SHOWN[k].metric);
    }
    return LCF_OK;
}

/* What the rankers are and what they took. */
static lcf_status facts_grid(lcf_grid *g, const lcf_arms_result *result)
{
    static const char *const NAMES[] = {
        "system", "model", "seeds", "RelaImpr of AUC", "training, s a seed", "parameters"};
    lcf_status status = lcf_grid_create(g, result->section->dirs_n + 1, 6, NAMES);

    if (status)
        return status;
    for (size_t i = 0; i < result->section->dirs_n; i++) {
        const side s = side_of(result, i);
        const lcf_training *t = &result->systems[i].training;
        put_system(g, i, result);
        lcf_grid_put(g, i + 1, 1, "%s", t->known ? t->model : LCF_CELL_UNDEFINED);
        lcf_grid_put(g, i + 1, 2, "%zu", s.c->seeds_n[s.arm]);
        lcf_grid_put(g, i + 1, 3, LCF_CELL_UNDEFINED);
        if (i && !isnan(s.c->rela_impr.value))
            lcf_grid_put(g, i + 1, 3, "%+.2f %%", 100 * s.c->rela_impr.value);
        lcf_grid_number(g, i + 1, 4, 0, lcf_training_seconds(t));
        lcf_grid_number(g, i + 1, 5, 0, t->parameters_n ? (double)t->parameters_n : NAN);
    }
    return LCF_OK;
}

static void append_facts(lcf_buf *out, const lcf_arms_report *report, const lcf_arms_result *result)
{
    const lcf_comparison *c = &result->systems[1].comparison;

    lcf_buf_printf(out, "%zu rows (%zu positive) of %zu users of the %s split.", c->rows_n,
                   c->positives_n, c->users_n, report->options->split);
}

static void append_method(lcf_buf *out, const lcf_arms_report *report)
{
    lcf_buf_printf(
        out,
        "Lifts are differences to the baseline on the same rows, with 95 %% intervals of "
        "%zu paired bootstrap replicates that draw users%s.\n",
        report->options->replicates_n, report->options->seeds_fixed ? "" : " and seeds");
    lcf_buf_append_text(out,
                        "* : the p-value of the lift is below .05 after Holm's correction for the "
                        "rankers of the section.\n"
                        "± : standard deviation over seeds. Training is the mean time of the "
                        "training steps of one seed on the machine that trained it.\n");
}

/* One measure in full: for the page, whose width the table of all would exceed. */
static lcf_status measure_grid(lcf_grid *g, const lcf_arms_result *result, size_t shown)
{
    const char *const names[] = {"system", SHOWN[shown].title, "lift", "95 % interval",
                                 "p",      "p (Holm)"};
    const lcf_metric metric = SHOWN[shown].metric;
    lcf_status status = lcf_grid_create(g, result->section->dirs_n + 1, 6, names);

    if (status)
        return status;
    for (size_t i = 0; i < result->section->dirs_n; i++) {
        const side s = side_of(result, i);
        const lcf_measure *m = &s.c->measures[metric];
        put_system(g, i, result);
        put_value(g, i + 1, 1, m, s.arm);
        lcf_grid_signed(g, i + 1, 2, 4, i ? m->lift.value : NAN);
        lcf_grid_interval(g, i + 1, 3, i ? m->lift.low : NAN, m->lift.high);
        lcf_grid_p(g, i + 1, 4, i ? m->p : NAN);
        lcf_grid_p(g, i + 1, 5, result->systems[i].p_holm[metric]);
    }
    return LCF_OK;
}

static void append_grid(lcf_buf *out, lcf_grid *g, lcf_status status,
                        void (*write)(lcf_buf *out, const lcf_grid *g))
{
    if (status)
        out->status = status;
    else
        write(out, g);
    lcf_grid_dispose(g);
}

void lcf_arms_markdown(lcf_buf *out, const lcf_arms_report *report)
{
    lcf_buf_append_text(out, "# Rankers against a baseline\n");
    for (size_t i = 0; i < report->options->sections_n; i++) {
        const lcf_arms_result *result = &report->results[i];
        lcf_grid g;
        lcf_buf_printf(out, "\n## %s\n\n", result->section->name);
        append_facts(out, report, result);
        lcf_buf_append_text(out, "\n\n");
        append_grid(out, &g, measures_grid(&g, result), lcf_grid_markdown);
        lcf_buf_append_char(out, '\n');
        append_grid(out, &g, facts_grid(&g, result), lcf_grid_markdown);
    }
    lcf_buf_append_char(out, '\n');
    append_method(out, report);
}

static void append_forest(lcf_buf *out, const lcf_arms_result *result, lcf_metric metric,
                          const char *title)
{
    const lcf_forest forest = {title, 4, false, 0, false};
    size_t n = result->section->dirs_n - 1;
    lcf_forest_row *rows = lcf_alloc_zero(n, sizeof(*rows));

    if (!rows) {
        out->status = LCF_ENOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const lcf_arms_system *s = &result->systems[i + 1];
        const lcf_estimate *lift = &s->comparison.measures[metric].lift;
        rows[i] = (lcf_forest_row){
            .name = s->name, .value = lift->value, .low = lift->low, .high = lift->high};
        if (is_sure(s, metric))
            rows[i].css = is_better(s, metric) ? "good" : "bad";
    }
    lcf_forest_draw(out, &forest, rows, n);
    free(rows);
}

static void append_section(lcf_buf *out, const lcf_arms_report *report,
                           const lcf_arms_result *result, const char *id)
{
    lcf_grid g;

    lcf_page_section(out, id, result->section->name);
    lcf_buf_append_text(out, "<p>");
    append_facts(out, report, result);
    lcf_buf_append_text(out, "</p>\n");
    append_grid(out, &g, facts_grid(&g, result), lcf_grid_html);
    for (size_t k = 0; k < SHOWN_N; k++) {
        const lcf_metric_info *info = &LCF_METRIC_INFO[SHOWN[k].metric];
        lcf_buf_printf(out, "<h3>%s</h3>\n", SHOWN[k].title);
        append_grid(out, &g, measure_grid(&g, result, k), lcf_grid_html);
        lcf_buf_append_text(out, "<figure><div class=\"wide\">\n");
        append_forest(out, result, SHOWN[k].metric, SHOWN[k].title);
        lcf_buf_printf(out,
                       "</div><figcaption>Lifts over the baseline; %s of 0 is better. In colour: p "
                       "below .05 after "
                       "Holm's correction.</figcaption></figure>\n",
                       info->higher_is_better ? "right" : "left");
    }
    lcf_page_section_end(out);
}

void lcf_arms_html(lcf_buf *out, const lcf_arms_report *report)
{
    lcf_buf method = LCF_BUF_INIT;

    lcf_page_open(out, "Rankers against a baseline");
    for (size_t i = 0; i < report->options->sections_n; i++) {
        char id[32];
        snprintf(id, sizeof(id), "section-%zu", i + 1);
        append_section(out, report, &report->results[i], id);
    }
    append_method(&method, report);
    lcf_page_list(out, lcf_buf_text(&method));
    if (method.status)
        out->status = method.status;
    lcf_buf_dispose(&method);
    lcf_page_close(out);
}

/* ---- for programs ---- */

static void csv_header(lcf_buf *out)
{
    lcf_buf_append_text(out, "section,system,baseline,seeds,rows,users");
    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        const char *name = LCF_METRIC_INFO[m].name;
        lcf_buf_printf(out, ",%s,%s_std,%s_lift,%s_lift_low,%s_lift_high,%s_lift_p,%s_lift_p_holm",
                       name, name, name, name, name, name, name);
    }
    lcf_buf_append_text(out, ",relaimpr,training_s,parameters\n");
}

/* Empty where not defined. */
static void csv_number(lcf_buf *out, double value)
{
    lcf_buf_append_char(out, ',');
    if (isfinite(value))
        lcf_buf_printf(out, "%.9g", value);
}

static void csv_row(lcf_buf *out, const lcf_arms_result *result, size_t i)
{
    const lcf_arms_system *system = &result->systems[i];
    const side s = side_of(result, i);

    lcf_csv_cell(out, result->section->name);
    lcf_buf_append_char(out, ',');
    lcf_csv_cell(out, system->name);
    lcf_buf_printf(out, ",%s,%zu,%zu,%zu", i ? "no" : "yes", s.c->seeds_n[s.arm], s.c->rows_n,
                   s.c->users_n);
    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        const lcf_measure *measure = &s.c->measures[m];
        csv_number(out, measure->arm[s.arm].value);
        csv_number(out, measure->std[s.arm]);
        csv_number(out, i ? measure->lift.value : NAN);
        csv_number(out, i ? measure->lift.low : NAN);
        csv_number(out, i ? measure->lift.high : NAN);
        csv_number(out, i ? measure->p : NAN);
        csv_number(out, system->p_holm[m]);
    }
    csv_number(out, i ? s.c->rela_impr.value : NAN);
    csv_number(out, lcf_training_seconds(&system->training));
    csv_number(out, system->training.parameters_n ? (double)system->training.parameters_n : NAN);
    lcf_buf_append_char(out, '\n');
}

void lcf_arms_csv(lcf_buf *out, const lcf_arms_report *report)
{
    csv_header(out);
    for (size_t i = 0; i < report->options->sections_n; i++)
        for (size_t k = 0; k < report->results[i].section->dirs_n; k++)
            csv_row(out, &report->results[i], k);
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *measures_json(const lcf_arms_result *result, size_t i)
{
    const side s = side_of(result, i);
    json_t *out = json_object();

    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        const lcf_measure *measure = &s.c->measures[m];
        const lcf_estimate *lift = &measure->lift;
        json_t *lift_json = json_null();
        if (i)
            lift_json =
                json_pack("{s:o, s:o, s:o, s:o, s:o}", "value", number(lift->value), "low",
                          number(lift->low), "high", number(lift->high), "p", number(measure->p),
                          "p_holm", number(result->systems[i].p_holm[m]));
        json_object_set_new(out, LCF_METRIC_INFO[m].name,
                            json_pack("{s:o, s:o, s:o}", "value", number(measure->arm[s.arm].value),
                                      "std", number(measure->std[s.arm]), "lift", lift_json));
    }
    return out;
}

static json_t *system_json(const lcf_arms_result *result, size_t i)
{
    const side s = side_of(result, i);

    return json_pack("{s:s, s:b, s:I, s:o, s:o, s:o}", "name", result->systems[i].name, "baseline",
                     i == 0, "seeds", (json_int_t)s.c->seeds_n[s.arm], "measures",
                     measures_json(result, i), "relaimpr", number(i ? s.c->rela_impr.value : NAN),
                     "training", lcf_training_json(&result->systems[i].training));
}

static json_t *section_json(const lcf_arms_result *result)
{
    const lcf_comparison *c = &result->systems[1].comparison;
    json_t *systems = json_array();

    for (size_t i = 0; i < result->section->dirs_n; i++)
        json_array_append_new(systems, system_json(result, i));
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "name", result->section->name, "rows",
                     (json_int_t)c->rows_n, "positives", (json_int_t)c->positives_n, "users",
                     (json_int_t)c->users_n, "systems", systems);
}

lcf_status lcf_arms_json(json_t **out, const lcf_arms_report *report, lcf_err *err)
{
    const lcf_arms_options *o = report->options;
    json_t *sections = json_array();

    for (size_t i = 0; i < o->sections_n; i++)
        json_array_append_new(sections, section_json(&report->results[i]));
    *out = json_pack("{s:s, s:i, s:s, s:s, s:{s:I, s:I, s:f, s:s}, s:o}", "format", "compare",
                     "version", LCF_COMPARE_VERSION, "program", "llmcf " LCF_VERSION, "split",
                     o->split, "bootstrap", "replicates", (json_int_t)o->replicates_n, "seed",
                     (json_int_t)o->seed, "confidence", LCF_CONFIDENCE, "seeds",
                     o->seeds_fixed ? "fixed" : "drawn", "sections", sections);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "comparison");
}

/* ---- for a terminal ---- */

static double real_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void summarise_system(lcf_buf *out, const json_t *system)
{
    const json_t *auc = json_object_get(json_object_get(system, "measures"), "auc");
    const json_t *lift = json_object_get(auc, "lift");
    const char *name = json_string_value(json_object_get(system, "name"));

    lcf_buf_printf(out, "  %-24s AUC %.4f", name ? name : "?", real_at(auc, "value"));
    if (json_is_object(lift))
        lcf_buf_printf(out, "  %+.4f  [%+.4f, %+.4f]%s\n", real_at(lift, "value"),
                       real_at(lift, "low"), real_at(lift, "high"),
                       real_at(lift, "p_holm") < 1 - LCF_CONFIDENCE ? " *" : "");
    else
        lcf_buf_append_text(out, "  baseline\n");
}

void lcf_arms_summary(lcf_buf *out, const json_t *compare)
{
    json_t *section, *system;
    size_t i, k;

    json_array_foreach(json_object_get(compare, "sections"), i, section)
    {
        const char *name = json_string_value(json_object_get(section, "name"));
        lcf_buf_printf(out, "%s\n", name ? name : "?");
        json_array_foreach(json_object_get(section, "systems"), k, system)
            summarise_system(out, system);
    }
}
