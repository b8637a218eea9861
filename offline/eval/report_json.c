/*
 * The report as JSON (schemas/report.schema.json), and its summary for a terminal. A figure that is
 * not defined is null.
 */
#include "offline/eval/report.h"

#include "common/base/cli.h"
#include "offline/eval/gate_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const ARM_KEYS[LCF_ARMS] = {"a", "b"};
static const char *const DIRECTIONS[] = {[LCF_DIRECTION_BETTER] = "better",
                                         [LCF_DIRECTION_WORSE] = "worse",
                                         [LCF_DIRECTION_OPEN] = "open"};

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *estimate(const lcf_estimate *e)
{
    return json_pack("{s:o, s:o, s:o}", "value", number(e->value), "low", number(e->low), "high",
                     number(e->high));
}

static json_t *numbers(const double *values, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, number(values[i]));
    return list;
}

static json_t *t_test(const lcf_t_test *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "t", number(t->t), "df", number(t->df), "p",
                     number(t->p), "low", number(t->low), "high", number(t->high));
}

static json_t *measure(const lcf_measure *m, const lcf_metric_info *info, const size_t *seeds_n)
{
    json_t *out = json_pack("{s:s, s:s}", "title", info->title, "better",
                            info->higher_is_better ? "higher" : "lower");
    json_t *lift = estimate(&m->lift);

    for (size_t a = 0; a < LCF_ARMS; a++) {
        json_t *arm = estimate(&m->arm[a]);
        json_object_set_new(arm, "std", number(m->std[a]));
        json_object_set_new(arm, "per_seed", numbers(m->per_seed[a], seeds_n[a]));
        json_object_set_new(out, ARM_KEYS[a], arm);
    }
    json_object_set_new(lift, "std", number(m->lift_std));
    json_object_set_new(lift, "bca_low", number(m->bca_low));
    json_object_set_new(lift, "bca_high", number(m->bca_high));
    json_object_set_new(lift, "se", number(m->se));
    json_object_set_new(lift, "p", number(m->p));
    json_object_set_new(lift, "p_permutation", number(m->p_permutation));
    json_object_set_new(lift, "seeds_t", t_test(&m->seeds_t));
    json_object_set_new(lift, "detectable", number(m->detectable));
    json_object_set_new(lift, "users_needed", number(m->users_needed));
    json_object_set_new(lift, "undefined_replicates", count(m->undefined_n));
    json_object_set_new(out, "lift", lift);
    return out;
}

static json_t *measures(const lcf_comparison *c)
{
    json_t *out = json_object();

    for (size_t m = 0; m < LCF_METRICS_N; m++)
        json_object_set_new(out, LCF_METRIC_INFO[m].name,
                            measure(&c->measures[m], &LCF_METRIC_INFO[m], c->seeds_n));
    return out;
}

static json_t *delong(const lcf_delong_comparison *d)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "a", estimate(&d->arm[0]), "b",
                     estimate(&d->arm[1]), "lift", estimate(&d->lift), "se_users",
                     number(d->se_users), "se_rows", number(d->se_rows), "p_users",
                     number(d->p_users), "p_rows", number(d->p_rows));
}

static json_t *mcnemar(const lcf_mcnemar *m)
{
    return json_pack("{s:f, s:f, s:f, s:o, s:o, s:o}", "threshold", (double)LCF_DECISION_THRESHOLD,
                     "only_a", m->only_a, "only_b", m->only_b, "p_rows", number(m->p_rows),
                     "z_users", number(m->z_users), "p_users", number(m->p_users));
}

static json_t *calibration(const lcf_calibration *c, const lcf_calibration_fit *fit)
{
    json_t *bins = json_array();

    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
        const lcf_calibration_bin *bin = &c->bins[b];
        double n = bin->rows_n ? (double)bin->rows_n : NAN;
        json_array_append_new(bins,
                              json_pack("{s:f, s:f, s:o, s:o, s:o}", "from", (double)b / 10, "to",
                                        (double)(b + 1) / 10, "rows", count(bin->rows_n),
                                        "mean_score", number(bin->score_sum / n), "positive_share",
                                        number(bin->positives / n)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "accuracy", number(lcf_calibration_accuracy(c)),
                     "bias", number(lcf_calibration_bias(c)), "slope", number(fit->slope),
                     "intercept", number(fit->intercept), "bins", bins);
}

static json_t *arm(const lcf_report *report, size_t a)
{
    const lcf_comparison *c = report->comparison;
    const lcf_background *b = report->background;
    json_t *seeds = json_array();

    for (size_t s = 0; s < c->seeds_n[a]; s++)
        json_array_append_new(seeds, json_integer((json_int_t)c->seeds[a][s]));
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", report->arm_name[a], "seeds",
        seeds, "calibration", calibration(&c->calibration[a], &c->calibration_fit[a]), "roc",
        numbers(c->roc[a], LCF_ROC_POINTS), "pr", numbers(c->pr[a], LCF_PR_POINTS), "scores",
        lcf_score_sample_json(&b->scores[a]), "scores_elsewhere",
        lcf_score_sample_json(&b->elsewhere[a]), "psi_elsewhere",
        number(lcf_psi(&b->elsewhere[a], &b->scores[a])), "latency",
        lcf_latency_json(&b->latency[a]), "training", lcf_training_json(&b->training[a]));
}

static json_t *slices(const lcf_comparison *c)
{
    json_t *out = json_array();

    for (size_t i = 0; i < c->slices_n; i++) {
        const lcf_slice_result *s = &c->slices[i];
        json_t *lift = estimate(&s->lift);
        json_object_set_new(lift, "p", number(s->p));
        json_object_set_new(lift, "p_holm", number(s->p_holm));
        json_object_set_new(lift, "p_bh", number(s->p_bh));
        json_array_append_new(
            out, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "dimension", s->dimension,
                           "name", s->name, "rows", count(s->rows_n), "users", count(s->users_n),
                           "positives", count(s->positives_n), "auc_a", number(s->auc[0]), "auc_b",
                           number(s->auc[1]), "auc_lift", lift));
    }
    return out;
}

static json_t *text_of(void (*write)(lcf_buf *, const lcf_report *), const lcf_report *report)
{
    lcf_buf text = LCF_BUF_INIT;
    json_t *json;

    write(&text, report);
    json = text.status ? NULL : json_string(lcf_buf_text(&text));
    lcf_buf_dispose(&text);
    return json;
}

static json_t *rows(const lcf_report *report)
{
    const lcf_comparison *c = report->comparison;
    const lcf_table_dropped *d = &c->dropped;
    json_t *dropped = json_pack("{s:o, s:o, s:o, s:o}", "unmatched_a", count(d->unmatched_n[0]),
                                "unmatched_b", count(d->unmatched_n[1]), "duplicates",
                                count(d->duplicates_n), "nan", count(d->nan_n));

    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "split", report->split, "list_k",
                     count(c->list_k), "rows", count(c->rows_n), "positives", count(c->positives_n),
                     "users", count(c->users_n), "users_both_classes", count(c->users_both_n),
                     "probabilities", !c->orders_only, "dropped", dropped);
}

static json_t *interleaving(const lcf_interleaving *i)
{
    return json_pack("{s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "wins_a", i->wins[0], "wins_b",
                     i->wins[1], "ties", i->ties, "users", count(i->users_n), "preference",
                     number(i->preference), "low", number(i->low), "high", number(i->high), "p",
                     number(i->p));
}

static json_t *stream(const lcf_comparison *c)
{
    if (c->stream == LCF_STREAM_NONE)
        return json_null();
    return json_pack("{s:s, s:o, s:o}", "method", c->stream == LCF_STREAM_SORT ? "sort" : "sketch",
                     "auc_bound_a", number(c->auc_bound[0]), "auc_bound_b",
                     number(c->auc_bound[1]));
}

static json_t *self_test(const lcf_self_test *t)
{
    json_t *rejected;

    if (!t->resamples_n)
        return json_null();
    rejected = json_object();
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        json_object_set_new(
            rejected, LCF_METRIC_INFO[m].name,
            number(t->defined_n[m] ? (double)t->rejected_n[m] / (double)t->defined_n[m] : NAN));
    return json_pack("{s:o, s:i, s:o}", "resamples", count(t->resamples_n), "replicates",
                     LCF_SELF_TEST_REPLICATES, "rejected", rejected);
}

static json_t *resampling(const lcf_comparison *c)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:f, s:f, s:s, s:s, s:b}", "replicates",
                     count(c->replicates_n), "jackknife_groups", count(c->left_out_n),
                     "permutations", count(c->permutations_n), "seed",
                     json_integer((json_int_t)c->seed), "confidence", LCF_CONFIDENCE, "power",
                     LCF_POWER, "cluster", "user", "seeds", c->seeds_fixed ? "fixed" : "drawn",
                     "seeds_paired", c->seeds_paired);
}

lcf_status lcf_report_json(json_t **out, const lcf_report *report, lcf_err *err)
{
    const lcf_comparison *c = report->comparison;
    lcf_verdict verdict = lcf_comparison_verdict(c, report->conditions, report->conditions_n);

    *out = json_pack(
        "{s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:s, s:s, s:o, s:o, s:O, s:s}",
        "format", "report", "version", LCF_REPORT_VERSION, "program", "llmcf " LCF_VERSION, "data",
        rows(report), "arms", json_pack("{s:o, s:o}", "a", arm(report, 0), "b", arm(report, 1)),
        "resampling", resampling(c), "measures", measures(c), "relaimpr", estimate(&c->rela_impr),
        "delong", delong(&c->delong), "mcnemar", mcnemar(&c->mcnemar), "self_test",
        self_test(&c->self_test), "stream", stream(c), "interleaving",
        interleaving(&c->interleaving), "slices", slices(c), "psi_arms",
        number(lcf_psi(&report->background->scores[0], &report->background->scores[1])), "verdict",
        lcf_verdict_text(verdict), "direction", DIRECTIONS[lcf_comparison_direction(c)], "summary",
        text_of(lcf_report_verdict, report), "gate",
        lcf_gate_json(report->conditions, report->conditions_n, report->passed), "sources",
        report->background->sources, "command", report->background->command);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "report");
}

static double real_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void summarise_measure(lcf_buf *out, const json_t *m)
{
    const json_t *lift = json_object_get(m, "lift");
    const char *title = json_string_value(json_object_get(m, "title"));

    if (isnan(real_at(lift, "value")))
        return;
    lcf_buf_printf(out, "  %-31s", title ? title : "?");
    for (size_t a = 0; a < LCF_ARMS; a++)
        lcf_buf_printf(out, " %8.4f", real_at(json_object_get(m, ARM_KEYS[a]), "value"));
    lcf_buf_printf(out, "  %+8.4f", real_at(lift, "value"));
    if (!isnan(real_at(lift, "low")))
        lcf_buf_printf(out, "  [%+.4f, %+.4f]", real_at(lift, "low"), real_at(lift, "high"));
    lcf_buf_append_char(out, '\n');
}

void lcf_report_summary(lcf_buf *out, const json_t *report)
{
    const char *text = json_string_value(json_object_get(report, "summary"));
    json_t *all = json_object_get(report, "measures");

    lcf_buf_printf(out, "%s\n", text ? text : "?");
    lcf_buf_printf(out, "  %-31s %8s %8s  %8s  95 %% interval of the lift\n", "", "A", "B", "lift");
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        summarise_measure(out, json_object_get(all, LCF_METRIC_INFO[m].name));
    lcf_gate_summary(out, json_object_get(report, "gate"));
}
