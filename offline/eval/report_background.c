/* The tables and sentences of a report that are about what surrounds the comparison. */
#include "offline/eval/report_background.h"

#include "offline/eval/sources.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *const ARM_LETTERS[LCF_ARMS] = {"A", "B"};

/* ---- scores ---- */

static void drift_row(lcf_grid *g, size_t row, const lcf_report *report, size_t arm,
                      const lcf_score_sample *s, const char *split)
{
    lcf_grid_put(g, row, 0, "%s (%s), %s split", ARM_LETTERS[arm], report->arm_name[arm], split);
    lcf_grid_put(g, row, 1, "%zu", s->n);
    lcf_grid_number(g, row, 2, 4, s->mean);
    lcf_grid_number(g, row, 3, 4, s->std);
    lcf_grid_put(g, row, 4, LCF_CELL_UNDEFINED);
}

static void put_psi(lcf_grid *g, size_t row, double psi, const char *to)
{
    if (!isnan(psi))
        lcf_grid_put(g, row, 4, "%.4f to %s", psi, to);
}

lcf_status report_drift_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"scores of", "scores", "mean", "standard deviation", "PSI"};
    const lcf_background *b = report->background;
    size_t rows_n = 1 + LCF_ARMS + (b->elsewhere[0].n > 0) + (b->elsewhere[1].n > 0), row = 1;

    if (!b->scores[0].n)
        return LCF_OK;
    if (lcf_grid_create(g, rows_n, 5, NAMES))
        return LCF_ENOMEM;
    for (size_t a = 0; a < LCF_ARMS; a++, row++)
        drift_row(g, row, report, a, &b->scores[a], report->split);
    put_psi(g, 2, lcf_psi(&b->scores[0], &b->scores[1]), "A");
    for (size_t a = 0; a < LCF_ARMS; a++) {
        if (!b->elsewhere[a].n)
            continue;
        drift_row(g, row, report, a, &b->elsewhere[a], b->other_split);
        lcf_grid_put(g, row++, 4, "%.4f to the %s split", lcf_psi(&b->elsewhere[a], &b->scores[a]),
                     report->split);
    }
    return LCF_OK;
}

void lcf_report_drift_text(lcf_buf *out, const lcf_report *report)
{
    const lcf_background *b = report->background;

    if (report->comparison->stream) {
        lcf_buf_append_text(out, "A stream keeps no distribution of scores.");
        return;
    }
    if (!b->scores[0].n) {
        lcf_buf_append_text(out, "Scores of any size were allowed: they are no probabilities, and "
                                 "have no scale that both arms share.");
        return;
    }
    lcf_buf_append_text(out, "The population stability index (PSI) compares two distributions of "
                             "scores, all seeds together: below .1 is usually called stable, above "
                             ".25 a shift.");
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (!b->elsewhere[a].n)
            lcf_buf_printf(out, " %s has no predictions of the %s split.", ARM_LETTERS[a],
                           b->other_split);
}

/* ---- latency ---- */

static void latency_row(lcf_grid *g, size_t row, const char *arm, const char *what,
                        const double *ms)
{
    static const size_t QUANTILES[] = {50, 90, 99, 100};

    lcf_grid_put(g, row, 0, "%s, %s", arm, what);
    for (size_t k = 0; k < 4; k++)
        lcf_grid_number(g, row, 1 + k, 3, ms[QUANTILES[k]]);
}

lcf_status report_latency_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"milliseconds", "p50", "p90", "p99", "maximum"};
    const lcf_latency *l = report->background->latency;
    size_t known_n = (size_t)l[0].known + l[1].known, row = 1;

    if (!known_n)
        return LCF_OK;
    if (lcf_grid_create(g, 1 + 3 * known_n, 5, NAMES))
        return LCF_ENOMEM;
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (l[a].known) {
            latency_row(g, row++, ARM_LETTERS[a], "an answer", l[a].total_ms);
            latency_row(g, row++, ARM_LETTERS[a], "of it finding examples", l[a].retrieve_ms);
            latency_row(g, row++, ARM_LETTERS[a], "of it scoring", l[a].score_ms);
        }
    return LCF_OK;
}

void lcf_report_latency_text(lcf_buf *out, const lcf_report *report)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        const lcf_latency *l = &report->background->latency[a];
        lcf_buf_append_text(out, a ? " " : "");
        if (!l->known)
            lcf_buf_printf(out, "No answers of %s were given (--latency %s=FILE).", ARM_LETTERS[a],
                           ARM_LETTERS[a]);
        else
            lcf_buf_printf(out,
                           "%s gave %zu answers about %.1f candidates each, on average in %.3f ms; "
                           "%zu were degraded, %zu requests failed.",
                           ARM_LETTERS[a], l->answers_n, l->candidates_mean, l->mean_ms,
                           l->degraded_n, l->errors_n);
    }
}

/* ---- training ---- */

static void training_row(lcf_grid *g, size_t row, size_t arm, const lcf_training *t,
                         const lcf_training_seed *s)
{
    lcf_grid_put(g, row, 0, "%s", ARM_LETTERS[arm]);
    lcf_grid_put(g, row, 1, "%s", t->model);
    lcf_grid_put(g, row, 2, "%" PRIu64, s->seed);
    lcf_grid_put(g, row, 3, "%" PRIu64 " of %zu", s->best_epoch, s->epochs_n);
    lcf_grid_number(g, row, 4, 4, s->valid_auc[s->best_epoch - 1]);
    lcf_grid_number(g, row, 5, 4, s->loss[s->best_epoch - 1]);
    lcf_grid_number(g, row, 6, 1, s->seconds);
    lcf_grid_number(g, row, 7, 0, t->parameters_n ? (double)t->parameters_n : NAN);
}

lcf_status report_training_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"arm",       "model", "seed",        "best epoch",
                                        "valid AUC", "loss",  "training, s", "parameters"};
    const lcf_training *t = report->background->training;
    size_t row = 1;

    if (!t[0].seeds_n && !t[1].seeds_n)
        return LCF_OK;
    if (lcf_grid_create(g, 1 + t[0].seeds_n + t[1].seeds_n, 8, NAMES))
        return LCF_ENOMEM;
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t s = 0; s < t[a].seeds_n; s++)
            training_row(g, row++, a, &t[a], &t[a].seeds[s]);
    return LCF_OK;
}

void lcf_report_training_text(lcf_buf *out, const lcf_report *report)
{
    const lcf_training *t = report->background->training;

    lcf_buf_append_text(out, "How the arms were trained; the valid split chose the epoch, the test "
                             "split chose nothing.");
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (!t[a].known)
            lcf_buf_printf(out, " `llmcf train` did not make %s: there is no record of it.",
                           ARM_LETTERS[a]);
}

/* ---- sources ---- */

static void put_text(lcf_grid *g, size_t row, size_t column, const json_t *object)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_sources_text(&text, object);
    lcf_grid_put(g, row, column, "%s", lcf_buf_text(&text));
    lcf_buf_dispose(&text);
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

lcf_status report_sources_grid(lcf_grid *g, const lcf_report *report)
{
    static const char *const NAMES[] = {"role", "path", "SHA-256", "made by", "from"};
    json_t *sources = report->background->sources, *source;
    size_t i;

    if (!json_array_size(sources))
        return LCF_OK;
    if (lcf_grid_create(g, json_array_size(sources) + 1, 5, NAMES))
        return LCF_ENOMEM;
    json_array_foreach(sources, i, source)
    {
        const json_t *made_by = json_object_get(source, "made_by");
        lcf_grid_put(g, i + 1, 0, "%s", text_at(source, "role"));
        lcf_grid_put(g, i + 1, 1, "%s", text_at(source, "path"));
        lcf_grid_put(g, i + 1, 2, "%.12s", text_at(source, "id"));
        if (!json_is_object(made_by))
            continue;
        lcf_grid_put(g, i + 1, 3, "llmcf %s %s", text_at(made_by, "verb"),
                     text_at(made_by, "version"));
        put_text(g, i + 1, 4, json_object_get(made_by, "inputs"));
    }
    return LCF_OK;
}

/* The options of every step, one a line. */
void lcf_report_options_text(lcf_buf *out, const lcf_report *report)
{
    json_t *source;
    size_t i;

    json_array_foreach(report->background->sources, i, source)
    {
        const json_t *parameters =
            json_object_get(json_object_get(source, "made_by"), "parameters");
        if (!json_object_size(parameters))
            continue;
        lcf_buf_printf(out, "%s: ", text_at(source, "role"));
        lcf_sources_text(out, parameters);
        lcf_buf_append_char(out, '\n');
    }
}
