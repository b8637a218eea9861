/* From a log to a report: see run.h. Nothing is written before every check has passed. */
#include "offline/eval/ope/run.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "offline/eval/gate_json.h"
#include "offline/eval/ope/report.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
    const lcf_ope_run_options *options;
    lcf_gate_condition *conditions;
    lcf_manifest *manifest;
} work;

void lcf_ope_figure_names(lcf_buf *out)
{
    lcf_figures known;

    lcf_ope_figures(&known, NULL);
    for (size_t i = 0; i < known.n; i++)
        lcf_buf_printf(out, "%s%s", i ? " " : "", known.list[i].name);
}

static bool is_estimator(const char *name)
{
    for (size_t e = 0; LCF_OPE_ESTIMATORS[e]; e++)
        if (!strcmp(LCF_OPE_ESTIMATORS[e]->name, name))
            return true;
    for (size_t e = 0; LCF_OPE_SLATE_ESTIMATORS[e]; e++)
        if (!strcmp(LCF_OPE_SLATE_ESTIMATORS[e]->name, name))
            return true;
    return false;
}

static lcf_status check_options(work *w, lcf_err *err)
{
    const lcf_ope_run_options *o = w->options;
    lcf_figures known;

    lcf_ope_figures(&known, NULL);
    if (!is_estimator(o->headline))
        return LCF_FAIL(err, LCF_EUSAGE, "--estimator: there is no estimator '%s'", o->headline);
    return lcf_gate_parse_all(&w->conditions, o->require, o->require_n, &known, err);
}

/* ---- what the report is made from ---- */

static lcf_status add_input(lcf_manifest *m, const char *role, const char *path, lcf_err *err)
{
    lcf_ope_format format;
    char *file;
    lcf_status status = lcf_ope_resolve(&file, &format, path, err);

    if (!status)
        status = lcf_manifest_input(m, role, file, err);
    free(file);
    return status;
}

/* The inputs of the target policy, after the colon of its name. */
static lcf_status add_target(lcf_manifest *m, const char *target, lcf_err *err)
{
    const char *path = target ? strchr(target, ':') : NULL;

    return path ? add_input(m, "target", path + 1, err) : LCF_OK;
}

static lcf_status add_parameters(lcf_manifest *m, const lcf_ope_run_options *o, lcf_err *err)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"temperature", o->source.temperature},
                   {"replicates", (double)o->ope.bootstrap.replicates_n},
                   {"seed", (double)o->ope.bootstrap.seed},
                   {"folds", (double)o->ope.model.folds_n},
                   {"l2", o->ope.model.l2},
                   {"tuning", (double)o->ope.tuning},
                   {"position_bias", (double)o->ope.position_bias},
                   {"allow_zero_propensity", o->source.options.allow_zero_propensity},
                   {"allow_bad_rows", o->source.options.allow_bad_rows}};
    json_t *names = json_pack(
        "{s:s, s:s, s:s, s:s}", "format", lcf_ope_format_name(o->source.format), "target",
        o->source.target ? o->source.target : "", "path", o->source.path, "headline", o->headline);
    lcf_status status = lcf_manifest_params(m, names, err);

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !status; i++)
        status = lcf_manifest_param_f64(m, numbers[i].name, numbers[i].value, err);
    return status;
}

static lcf_status describe(work *w, lcf_err *err)
{
    const lcf_ope_run_options *o = w->options;
    lcf_status status = lcf_manifest_create(&w->manifest, "ope", err);

    if (!status)
        status = lcf_gate_describe(w->manifest, o->require, o->require_n, err);
    if (!status)
        status = add_parameters(w->manifest, o, err);
    if (!status)
        status = add_input(w->manifest, "log", o->source.path, err);
    if (!status)
        status = add_target(w->manifest, o->source.target, err);
    if (!status && o->on_policy)
        status = add_input(w->manifest, "on_policy", o->on_policy, err);
    return status;
}

/* ---- making it ---- */

/* The mean reward of the target policy's own log. */
static lcf_status measure_on_policy(lcf_ope_estimate *out, const lcf_ope_run_options *o,
                                    lcf_pool *pool, lcf_err *err)
{
    lcf_ope_source source = {o->on_policy, o->source.format, "logging", 0, o->source.options};
    lcf_ope_options options = o->ope;
    lcf_ope_result result = {0};
    lcf_ope_log log;
    lcf_status status = lcf_ope_load(&log, &source, err);

    options.bootstrap.progress = NULL;
    if (!status)
        status = lcf_ope_evaluate(&result, &log, pool, &options, err);
    *out = result.logged;
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
    return status;
}

static lcf_status evaluate(lcf_ope_result *out, const lcf_ope_log *log, lcf_pool *pool,
                           const lcf_ope_options *options, lcf_err *err)
{
    lcf_ope_options with_progress = *options;
    lcf_progress progress;
    lcf_status status;

    lcf_progress_start(&progress, "bootstrap", "replicates", options->bootstrap.replicates_n);
    with_progress.bootstrap.progress = &progress;
    status = lcf_ope_evaluate(out, log, pool, &with_progress, err);
    lcf_progress_end(&progress);
    return status;
}

static lcf_status report(json_t **out, work *w, const lcf_ope_log *log, lcf_pool *pool,
                         lcf_err *err)
{
    const lcf_ope_run_options *o = w->options;
    lcf_ope_result result = {0};
    lcf_ope_estimate on_policy;
    lcf_figures figures;
    lcf_ope_report r = {.log_path = o->source.path,
                        .target = o->source.target ? o->source.target : "as logged",
                        .log = log,
                        .result = &result,
                        .options = &o->ope,
                        .headline = o->headline,
                        .on_policy_path = o->on_policy,
                        .on_policy = o->on_policy ? &on_policy : NULL,
                        .conditions = w->conditions,
                        .conditions_n = o->require_n};
    lcf_status status = evaluate(&result, log, pool, &o->ope, err);

    if (!status && o->on_policy)
        status = measure_on_policy(&on_policy, o, pool, err);
    if (!status) {
        lcf_ope_figures(&figures, &result);
        r.passed = lcf_gate_check(w->conditions, o->require_n, &figures);
        status = lcf_ope_report_json(out, &r, err);
    }
    lcf_ope_result_dispose(&result);
    return status;
}

static lcf_status save(work *w, const json_t *json, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_buf html = LCF_BUF_INIT;
    lcf_status status = lcf_stage_open(&stage, w->options->out_dir, err);
    const char *dir = status ? NULL : lcf_stage_path(stage);

    if (status)
        return status;
    lcf_ope_report_html(&html, json);
    status = lcf_json_save_in(dir, "ope.json", json, err);
    if (!status)
        status = lcf_file_write_text(dir, "ope.html", &html, err);
    lcf_buf_dispose(&html);
    return lcf_manifest_finish(w->manifest, stage, status, err);
}

static lcf_status make(json_t **out, work *w, lcf_err *err)
{
    lcf_pool *pool = NULL;
    lcf_ope_log log;
    lcf_status status = lcf_ope_load(&log, &w->options->source, err);

    if (!status)
        status = lcf_pool_create(&pool, w->options->threads, err);
    if (!status)
        status = report(out, w, &log, pool, err);
    if (!status && w->options->out_dir)
        status = save(w, *out, err);
    lcf_pool_free(pool);
    lcf_ope_log_dispose(&log);
    return status;
}

lcf_status lcf_ope_run(json_t **out, bool *current, const lcf_ope_run_options *options,
                       lcf_err *err)
{
    work w = {.options = options};
    bool same = false;
    lcf_status status;

    *out = NULL;
    status = check_options(&w, err);
    if (!status && options->out_dir) {
        status = describe(&w, err);
        same = !status && !options->force && lcf_manifest_is_current(w.manifest, options->out_dir);
    }
    if (!status)
        status =
            same ? lcf_json_load_in(out, options->out_dir, "ope.json", err) : make(out, &w, err);
    if (!status) {
        status = lcf_gate_verdict(json_object_get(*out, "gate"), err);
    } else {
        json_decref(*out);
        *out = NULL;
    }
    if (current)
        *current = same;
    free(w.conditions);
    lcf_manifest_free(w.manifest);
    return status;
}
