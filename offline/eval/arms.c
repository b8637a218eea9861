/* From folders of rankers to a folder with their table. The folder appears in one step. */
#include "offline/eval/arms.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/eval/arm_files.h"
#include "offline/eval/arms_report.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    const lcf_arms_options *options;
    lcf_manifest *manifest;
    lcf_arms_report report;
    lcf_progress progress;
    lcf_pool *pool;
} work;

/* ---- what it is made from ---- */

static lcf_status describe_system(lcf_manifest *m, const char *role, const char *dir,
                                  const char *split, lcf_err *err)
{
    char *predictions = NULL, *training = lcf_path_join(dir, "manifest.json");
    lcf_buf own = LCF_BUF_INIT;
    lcf_status status = lcf_arm_path(&predictions, dir, split, err);

    lcf_buf_printf(&own, "%s/training", role);
    if (!status && (!training || own.status))
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (!status)
        status = lcf_manifest_input(m, role, predictions, err);
    if (!status && lcf_path_exists(training)) /* curves and times */
        status = lcf_manifest_input(m, lcf_buf_text(&own), training, err);
    lcf_buf_dispose(&own);
    free(predictions);
    free(training);
    return status;
}

static lcf_status describe_section(lcf_manifest *m, const lcf_arms_result *result, size_t which,
                                   const char *split, lcf_err *err)
{
    lcf_buf role = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    lcf_buf_printf(&role, "section_%zu", which + 1);
    if (!role.status)
        status = lcf_manifest_param_str(m, lcf_buf_text(&role), result->section->name, err);
    for (size_t i = 0; i < result->section->dirs_n && !status; i++) {
        lcf_buf_reset(&role);
        lcf_buf_printf(&role, "%zu/%zu/%s", which + 1, i, result->systems[i].name);
        if (role.status)
            break;
        status = describe_system(m, lcf_buf_text(&role), result->section->dirs[i], split, err);
    }
    if (!status && role.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "roles of %s", result->section->name);
    lcf_buf_dispose(&role);
    return status;
}

static lcf_status describe(work *w, lcf_err *err)
{
    const lcf_arms_options *o = w->options;
    const lcf_input none = {NULL, NULL};
    json_t *params = json_pack("{s:s, s:I, s:I, s:s}", "split", o->split, "replicates",
                               (json_int_t)o->replicates_n, "seed", (json_int_t)o->seed, "seeds",
                               o->seeds_fixed ? "fixed" : "drawn");
    lcf_status status = lcf_manifest_describe(&w->manifest, "compare", params, &none, err);

    for (size_t i = 0; i < o->sections_n && !status; i++)
        status = describe_section(w->manifest, &w->report.results[i], i, o->split, err);
    return status;
}

/* ---- the figures ---- */

static lcf_status name_systems(lcf_arms_result *result, lcf_err *err)
{
    size_t n = result->section->dirs_n;
    char **names = lcf_alloc_zero(n, sizeof(*names));
    lcf_status status;

    result->systems = lcf_alloc_zero(n, sizeof(*result->systems));
    if (!names || !result->systems)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu rankers", n);
    else
        status = lcf_arm_names(names, result->section->dirs, n, err);
    for (size_t i = 0; i < n && !status; i++)
        result->systems[i].name = names[i];
    free(names);
    return status;
}

static lcf_status prepare(work *w, lcf_err *err)
{
    const lcf_arms_options *o = w->options;
    lcf_status status = LCF_OK;

    w->report.options = o;
    w->report.results = lcf_alloc_zero(o->sections_n, sizeof(*w->report.results));
    if (!w->report.results)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu sections", o->sections_n);
    for (size_t i = 0; i < o->sections_n && !status; i++) {
        w->report.results[i].section = &o->sections[i];
        status = name_systems(&w->report.results[i], err);
    }
    return status;
}

static lcf_status compare_pair(lcf_comparison *out, work *w, const char *baseline, const char *dir,
                               lcf_err *err)
{
    const lcf_arms_options *o = w->options;
    const lcf_table_allow allow = {.unmatched = false};
    lcf_compare_options options = LCF_COMPARE_OPTIONS_INIT;
    lcf_eval_table table = {0};
    char *path[LCF_ARMS] = {NULL, NULL};
    lcf_status status = lcf_arm_path(&path[0], baseline, o->split, err);

    options.replicates_n = o->replicates_n;
    options.permutations_n = 0;
    options.seed = o->seed;
    options.seeds_fixed = o->seeds_fixed;
    options.progress = &w->progress;
    if (!status)
        status = lcf_arm_path(&path[1], dir, o->split, err);
    if (!status)
        status = lcf_arm_table(&table, path[0], path[1], &allow, err);
    if (!status)
        status = lcf_compare(out, &table, NULL, w->pool, &options, err);
    lcf_eval_table_dispose(&table);
    free(path[0]);
    free(path[1]);
    return status;
}

static lcf_status correct(lcf_arms_result *result, lcf_err *err)
{
    size_t n = result->section->dirs_n;
    double *p = lcf_alloc(2 * n, sizeof(*p));

    if (!p)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu rankers", n);
    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        p[0] = NAN; /* the baseline is no test */
        for (size_t i = 1; i < n; i++)
            p[i] = result->systems[i].comparison.measures[m].p;
        lcf_stats_holm(p + n, p, n);
        for (size_t i = 0; i < n; i++)
            result->systems[i].p_holm[m] = p[n + i];
    }
    free(p);
    return LCF_OK;
}

static lcf_status compare_section(work *w, lcf_arms_result *result, lcf_err *err)
{
    const char *const *dirs = result->section->dirs;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < result->section->dirs_n && !status; i++) {
        status = lcf_training_read(&result->systems[i].training, dirs[i], err);
        if (!status && i)
            status = compare_pair(&result->systems[i].comparison, w, dirs[0], dirs[i], err);
    }
    return status ? status : correct(result, err);
}

static lcf_status compare_all(work *w, lcf_err *err)
{
    const lcf_arms_options *o = w->options;
    lcf_compare_options steps = LCF_COMPARE_OPTIONS_INIT;
    size_t pairs_n = 0;
    lcf_status status = lcf_pool_create(&w->pool, o->threads, err);

    if (status)
        return status;
    steps.replicates_n = o->replicates_n;
    steps.permutations_n = 0;
    for (size_t i = 0; i < o->sections_n; i++)
        pairs_n += o->sections[i].dirs_n - 1;
    lcf_progress_start(&w->progress, "bootstrap", "replicates",
                       pairs_n * lcf_compare_steps(&steps, 0));
    for (size_t i = 0; i < o->sections_n && !status; i++)
        status = compare_section(w, &w->report.results[i], err);
    lcf_progress_end(&w->progress);
    return status;
}

/* ---- the artefact ---- */

static lcf_status write_text(const char *dir, const char *name, const lcf_arms_report *report,
                             void (*write)(lcf_buf *, const lcf_arms_report *), lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    write(&text, report);
    status = lcf_file_write_text(dir, name, &text, err);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status save(work *w, const json_t *json, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, w->options->out_dir, err);
    const char *dir = status ? NULL : lcf_stage_path(stage);

    if (status)
        return status;
    status = lcf_json_save_in(dir, "compare.json", json, err);
    if (!status)
        status = write_text(dir, "compare.md", &w->report, lcf_arms_markdown, err);
    if (!status)
        status = write_text(dir, "compare.csv", &w->report, lcf_arms_csv, err);
    if (!status)
        status = write_text(dir, "compare.html", &w->report, lcf_arms_html, err);
    return lcf_manifest_finish(w->manifest, stage, status, err);
}

static lcf_status make(json_t **out, work *w, lcf_err *err)
{
    lcf_status status = compare_all(w, err);

    if (!status)
        status = lcf_arms_json(out, &w->report, err);
    return status ? status : save(w, *out, err);
}

static void dispose(work *w)
{
    for (size_t i = 0; w->report.results && i < w->options->sections_n; i++) {
        lcf_arms_result *result = &w->report.results[i];
        for (size_t k = 0; result->systems && k < result->section->dirs_n; k++) {
            lcf_comparison_dispose(&result->systems[k].comparison);
            lcf_training_dispose(&result->systems[k].training);
            free(result->systems[k].name);
        }
        free(result->systems);
    }
    free(w->report.results);
    lcf_pool_free(w->pool);
    lcf_manifest_free(w->manifest);
}

lcf_status lcf_arms_compare(json_t **out, bool *current, const lcf_arms_options *options,
                            lcf_err *err)
{
    work w = {.options = options};
    bool same = false;
    lcf_status status;

    *out = NULL;
    status = prepare(&w, err);
    if (!status)
        status = describe(&w, err);
    if (!status) {
        same = !options->force && lcf_manifest_is_current(w.manifest, options->out_dir);
        status = same ? lcf_json_load_in(out, options->out_dir, "compare.json", err)
                      : make(out, &w, err);
    }
    if (status) {
        json_decref(*out);
        *out = NULL;
    }
    if (current)
        *current = same;
    dispose(&w);
    return status;
}
