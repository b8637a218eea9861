/* The report of a counterfactual evaluation as JSON: see report.h. A figure that is not defined is
 * null. */
#include "offline/eval/ope/report.h"

#include "common/base/cli.h"
#include "offline/eval/gate_json.h"

#include <math.h>
#include <string.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *estimate(const lcf_ope_estimate *e)
{
    return json_pack("{s:o, s:o, s:[o, o], s:[o, o]}", "value", number(e->value), "se",
                     number(e->se), "bootstrap", number(e->bootstrap_low),
                     number(e->bootstrap_high), "normal", number(e->normal_low),
                     number(e->normal_high));
}

/* Infinite: "none", no weight was shrunk. */
static json_t *lambda(const lcf_ope_outcome *o)
{
    if (!o->tuned || o->absent)
        return json_null();
    return isinf(o->lambda) ? json_string("none") : json_real(o->lambda);
}

static json_t *outcome(const lcf_ope_outcome *o, const lcf_ope_report *r)
{
    json_t *out =
        json_pack("{s:s, s:s, s:o, s:o}", "title", o->title, "unit", o->slate ? "request" : "row",
                  "lambda", lambda(o), "ess", number(o->absent ? NAN : o->ess));
    double truth = r->on_policy && !o->slate ? r->on_policy->value : NAN;

    json_object_set_new(out, "absent", o->absent ? json_string(o->absent) : json_null());
    json_object_set_new(out, "value",
                        o->absent ? json_null() : estimate(&o->estimate[LCF_OPE_VALUE]));
    json_object_set_new(out, "lift",
                        o->absent ? json_null() : estimate(&o->estimate[LCF_OPE_LIFT]));
    json_object_set_new(
        out, "relative_error",
        number(o->absent ? NAN : fabs(o->estimate[LCF_OPE_VALUE].value - truth) / fabs(truth)));
    return out;
}

static json_t *estimators(const lcf_ope_report *r)
{
    json_t *out = json_array();

    for (size_t e = 0; e < r->result->outcomes_n; e++) {
        json_t *one = outcome(&r->result->outcomes[e], r);
        json_object_set_new(one, "name", json_string(r->result->outcomes[e].name));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *log_of(const lcf_ope_report *r)
{
    const lcf_ope_log *log = r->log;

    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "path", r->log_path, "rows",
        count(log->rows_n), "users", log->has_users ? count(log->users_n) : json_null(), "requests",
        log->has_requests ? count(log->requests_n) : json_null(), "actions", count(log->actions_n),
        "positions", count(log->positions_n), "bad_rows_dropped", count(log->bad_rows_n),
        "zero_propensity_dropped", count(log->zero_propensity_n), "first_bad_row", log->bad_row);
}

static json_t *weights(const lcf_ope_weights *w)
{
    json_t *lorenz;

    if (!w->n)
        return json_null();
    lorenz = json_array();
    for (size_t p = 0; p < LCF_OPE_LORENZ_POINTS; p++)
        json_array_append_new(lorenz, number(w->lorenz[p]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "mean", number(w->mean), "mean_se",
                     number(w->mean_se), "max", number(w->max), "top_share", number(w->top_share),
                     "ess", number(w->ess), "zero_rows", count(w->zero_n), "lorenz", lorenz);
}

static json_t *overlap(const lcf_ope_report *r)
{
    return json_pack("{s:o, s:o, s:o}", "unseen_mass", number(r->result->unseen_mass),
                     "unsupported_rows", count(r->log->unsupported_rows_n), "unsupported_mass",
                     number(r->log->unsupported_mass / (double)r->log->rows_n));
}

static json_t *model(const lcf_ope_report *r)
{
    const lcf_ope_result *result = r->result;

    if (!result->has_model)
        return json_null();
    return json_pack("{s:o, s:f, s:o, s:o}", "folds", count(r->options->model.folds_n), "l2",
                     r->options->model.l2, "log_loss", number(result->model_log_loss),
                     "log_loss_constant", number(result->model_log_loss_constant));
}

static json_t *examination(const lcf_ope_report *r)
{
    json_t *list;

    if (!r->result->examination)
        return json_null();
    list = json_array();
    for (size_t p = 0; p < r->result->positions_n; p++)
        json_array_append_new(list, number(r->result->examination[p]));
    return json_pack("{s:s, s:o}", "method",
                     r->options->position_bias == LCF_POSITION_BIAS_EM ? "em" : "weighted",
                     "positions", list);
}

static json_t *lines(const lcf_buf *text)
{
    json_t *out = json_array();

    for (const char *at = lcf_buf_text(text); *at;) {
        size_t n = strcspn(at, "\n");
        json_array_append_new(out, json_stringn(at, n));
        at += n + (at[n] == '\n');
    }
    return out;
}

static const char *cluster_of(const lcf_ope_log *log)
{
    return log->has_users ? "user" : log->has_requests ? "request" : "row";
}

static void append_estimate(lcf_buf *out, const lcf_ope_estimate *e)
{
    lcf_buf_printf(out, "%.5g", e->value);
    if (!isnan(e->bootstrap_low))
        lcf_buf_printf(out, " [%.5g, %.5g]", e->bootstrap_low, e->bootstrap_high);
}

/* One sentence by the headline's estimator: value, and against the logging policy. */
static json_t *summary(const lcf_ope_report *r)
{
    const lcf_ope_outcome *o = lcf_ope_find(r->result, r->headline);
    const lcf_ope_estimate *lift;
    lcf_buf text = LCF_BUF_INIT;
    json_t *out;

    if (!o || o->absent) {
        lcf_buf_printf(&text, "No estimate by %s: %s.", o ? o->title : r->headline,
                       o ? o->absent : "the log holds no lists");
    } else {
        lift = &o->estimate[LCF_OPE_LIFT];
        lcf_buf_printf(&text, "The target policy would earn ");
        append_estimate(&text, &o->estimate[LCF_OPE_VALUE]);
        lcf_buf_printf(&text, " per %s (%s, 95 %% interval), the logging policy earned ",
                       o->slate ? "request" : "row", o->title);
        append_estimate(&text, o->slate ? &r->result->logged_slate : &r->result->logged);
        lcf_buf_printf(&text, ": %s.",
                       lift->bootstrap_low > 0    ? "the target is better"
                       : lift->bootstrap_high < 0 ? "the target is worse"
                                                  : "no difference is shown");
    }
    out = text.status ? NULL : json_string(lcf_buf_text(&text));
    lcf_buf_dispose(&text);
    return out;
}

static json_t *on_policy(const lcf_ope_report *r)
{
    json_t *out;

    if (!r->on_policy)
        return json_null();
    out = estimate(r->on_policy);
    json_object_set_new(out, "path", json_string(r->on_policy_path));
    return out;
}

lcf_status lcf_ope_report_json(json_t **out, const lcf_ope_report *r, lcf_err *err)
{
    const lcf_ope_bootstrap_options *b = &r->options->bootstrap;
    bool slates = r->result->outcomes_n > LCF_OPE_ESTIMATORS_N;

    *out = json_pack(
        "{s:s, s:i, s:s, s:o, s:s, s:{s:o, s:o, s:f, s:s}, s:o, s:{s:o, s:o}, s:o}", "format",
        "ope_report", "version", LCF_OPE_REPORT_VERSION, "program", "llmcf " LCF_VERSION, "log",
        log_of(r), "target", r->target, "bootstrap", "replicates", count(b->replicates_n), "seed",
        json_integer((json_int_t)b->seed), "confidence", LCF_OPE_CONFIDENCE, "cluster",
        cluster_of(r->log), "model", model(r), "logged", "row", estimate(&r->result->logged),
        "request", slates ? estimate(&r->result->logged_slate) : json_null(), "on_policy",
        on_policy(r));
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "report");
    json_object_set_new(
        *out, "tuning",
        json_string(r->options->tuning == LCF_OPE_TUNE_DIRECT ? "direct" : "bound"));
    json_object_set_new(*out, "weights", weights(&r->result->weights));
    json_object_set_new(*out, "overlap", overlap(r));
    json_object_set_new(*out, "examination", examination(r));
    json_object_set_new(*out, "estimators", estimators(r));
    json_object_set_new(*out, "warnings", lines(&r->result->warnings));
    json_object_set_new(*out, "headline", json_string(r->headline));
    json_object_set_new(*out, "summary", summary(r));
    if (json_object_set_new(*out, "gate",
                            lcf_gate_json(r->conditions, r->conditions_n, r->passed))) {
        json_decref(*out);
        *out = NULL;
        return LCF_FAIL(err, LCF_ENOMEM, "report");
    }
    return LCF_OK;
}
