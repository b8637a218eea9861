/*
 * From two ranker folders to a report folder. Nothing is written before every check has passed, and
 * the folder appears in one step.
 */
#include "offline/eval/evaluate.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/eval/arm_files.h"
#include "offline/eval/background.h"
#include "offline/eval/compare.h"
#include "offline/eval/gate_json.h"
#include "offline/eval/item_facts.h"
#include "offline/eval/report.h"
#include "offline/eval/sources.h"
#include "offline/eval/stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const ROLES[LCF_ARMS] = {"a", "b"};

typedef struct work {
    const lcf_evaluate_options *options;
    char *arm_file[LCF_ARMS]; /* <dir>/<split>.lcf */
    char *arm_name[LCF_ARMS]; /* last part of the folder's path */
    lcf_gate_condition *conditions;
    lcf_manifest *manifest;
    lcf_background background;
} work;

/* One folder or file that the report is made from. */
static lcf_status add_input(work *w, const char *role, const char *path, lcf_err *err)
{
    lcf_status status = lcf_manifest_input(w->manifest, role, path, err);

    return status ? status : lcf_sources_add(w->background.sources, role, path, err);
}

static bool is_of_measure(const char *figure)
{
    static const char *const SUFFIXES[] = {"_a",        "_b",         "_lift",
                                           "_lift_low", "_lift_high", "_lift_p"};

    for (size_t m = 0; m < LCF_METRICS_N; m++) {
        size_t n = strlen(LCF_METRIC_INFO[m].name);
        for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++)
            if (!strncmp(figure, LCF_METRIC_INFO[m].name, n) && !strcmp(figure + n, SUFFIXES[i]))
                return true;
    }
    return false;
}

void lcf_evaluate_figure_names(lcf_buf *out)
{
    lcf_figures known;

    lcf_comparison_figures(&known, NULL);
    lcf_buf_append_text(out, "M_a, M_b, M_lift, M_lift_low, M_lift_high and M_lift_p, where M is "
                             "one of");
    for (size_t m = 0; m < LCF_METRICS_N; m++)
        lcf_buf_printf(out, " %s", LCF_METRIC_INFO[m].name);
    lcf_buf_append_text(out, "; and");
    for (size_t i = 0; i < known.n; i++)
        if (!is_of_measure(known.list[i].name))
            lcf_buf_printf(out, " %s", known.list[i].name);
}

static lcf_status parse_gate(work *w, lcf_err *err)
{
    lcf_figures known;

    lcf_comparison_figures(&known, NULL);
    return lcf_gate_parse_all(&w->conditions, w->options->require, w->options->require_n, &known,
                              err);
}

static lcf_status name_arms(work *w, lcf_err *err)
{
    const lcf_evaluate_options *o = w->options;
    lcf_status status = lcf_arm_names(w->arm_name, o->arm_dir, LCF_ARMS, err);

    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = lcf_arm_path(&w->arm_file[a], o->arm_dir[a], o->split, err);
    return status;
}

/* The files of --slice-by as inputs; which column was taken stands in the role. */
static lcf_status describe_columns(work *w, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < w->options->slice_by_n && !status; i++) {
        const char *option = w->options->slice_by[i], *colon = strrchr(option, ':');
        char *path = lcf_strndup(option, colon ? (size_t)(colon - option) : strlen(option));
        lcf_buf role = LCF_BUF_INIT;
        lcf_buf_printf(&role, "slice_by_%zu%s", i + 1, colon ? colon : "");
        if (!path || role.status)
            status = LCF_FAIL(err, LCF_ENOMEM, "path of '%s'", option);
        else
            status = add_input(w, lcf_buf_text(&role), path, err);
        lcf_buf_dispose(&role);
        free(path);
    }
    return status;
}

static lcf_status describe_allowed(lcf_manifest *m, const lcf_table_allow *a, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_printf(&text, "%s%s%s%s%s", a->unmatched ? "unmatched " : "",
                   a->duplicates ? "duplicates " : "", a->nan ? "nan " : "",
                   a->one_class ? "one-class " : "", a->any_score ? "any-score " : "");
    status = text.status ? LCF_FAIL(err, LCF_ENOMEM, "parameters")
                         : lcf_manifest_param_str(m, "allow", lcf_buf_text(&text), err);
    lcf_buf_dispose(&text);
    return status;
}

/* A file of an arm's folder that may be missing, as input "a_<name>". */
static lcf_status describe_beside(work *w, size_t arm, const char *file, const char *name,
                                  lcf_err *err)
{
    char *path = lcf_path_join(w->options->arm_dir[arm], file);
    lcf_buf role = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    lcf_buf_printf(&role, "%s_%s", ROLES[arm], name);
    if (!path || role.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", w->options->arm_dir[arm]);
    else if (lcf_path_exists(path))
        status = lcf_manifest_input(w->manifest, lcf_buf_text(&role), path, err);
    lcf_buf_dispose(&role);
    free(path);
    return status;
}

/* The predictions count by their content, so that a copy elsewhere is the same arm; curves, times
 * and the other split belong to what the report says beside. */
static lcf_status describe_arm(work *w, size_t arm, lcf_err *err)
{
    static const char *const LATENCY[LCF_ARMS] = {"a_latency", "b_latency"};
    const lcf_evaluate_options *o = w->options;
    const bool on_test = !strcmp(o->split, "test");
    const char name[] = {'n', 'a', 'm', 'e', '_', ROLES[arm][0], '\0'};
    lcf_status status = lcf_manifest_param_str(w->manifest, name, w->arm_name[arm], err);

    if (!status)
        status = lcf_manifest_input(w->manifest, ROLES[arm], w->arm_file[arm], err);
    if (!status)
        status = describe_beside(w, arm, on_test ? "valid.lcf" : "test.lcf", "elsewhere", err);
    if (!status)
        status = describe_beside(w, arm, "manifest.json", "training", err);
    if (!status && lcf_manifest_exists(o->arm_dir[arm]))
        status = lcf_sources_add(w->background.sources, ROLES[arm], o->arm_dir[arm], err);
    else if (!status)
        status = lcf_sources_add(w->background.sources, ROLES[arm], w->arm_file[arm], err);
    if (!status && o->latency_file[arm])
        status = add_input(w, LATENCY[arm], o->latency_file[arm], err);
    return status;
}

static json_t *params_of(const lcf_evaluate_options *o)
{
    static const char *const STREAMS[] = {
        [LCF_STREAM_SORT] = "sort", [LCF_STREAM_SKETCH] = "sketch"};

    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:s}", "split", o->split, "stream",
                     o->stream ? STREAMS[o->stream] : NULL, "replicates",
                     (json_int_t)o->replicates_n, "permutations", (json_int_t)o->permutations_n,
                     "top", (json_int_t)o->list_k, "self_test", (json_int_t)o->self_test_n, "seed",
                     (json_int_t)o->seed, "seeds", o->seeds_fixed ? "fixed" : "drawn");
}

static lcf_status describe(work *w, lcf_err *err)
{
    const lcf_evaluate_options *o = w->options;
    lcf_status status = lcf_manifest_create(&w->manifest, "evaluate", err);

    w->background.sources = json_array();
    if (!status && !w->background.sources)
        status = LCF_FAIL(err, LCF_ENOMEM, "list of sources");
    if (!status)
        status = lcf_gate_describe(w->manifest, o->require, o->require_n, err);
    if (!status)
        status = lcf_manifest_params(w->manifest, params_of(o), err);
    if (!status)
        status = describe_allowed(w->manifest, &o->allow, err);
    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = describe_arm(w, a, err);
    if (!status && o->dataset_dir)
        status = add_input(w, "dataset", o->dataset_dir, err);
    if (!status && o->vectors_dir)
        status = add_input(w, "vectors", o->vectors_dir, err);
    if (!status && o->retrieved_dir)
        status = add_input(w, "retrieved", o->retrieved_dir, err);
    if (!status)
        status = describe_columns(w, err);
    return status;
}

/* What is compared, and what is known about its rows. */
typedef struct inputs {
    lcf_eval_table table;
    lcf_slices slices;
    lcf_item_facts facts;
} inputs;

static lcf_status read_dataset(inputs *in, const lcf_evaluate_options *o, lcf_err *err)
{
    const lcf_slices_options options = {o->retrieved_dir, o->slice_by, o->slice_by_n};
    lcf_dataset dataset = {0};
    lcf_status status = lcf_dataset_open(&dataset, o->dataset_dir, err);

    if (status)
        return status;
    status = lcf_slices_init(&in->slices, &in->table, &dataset, &options, err);
    if (!status)
        status = lcf_item_facts_init(&in->facts, &in->table, &dataset, o->vectors_dir, err);
    lcf_dataset_close(&dataset);
    return status;
}

/* How the scores that are compared are distributed; orders alone have no common scale. */
static lcf_status sample_scores(work *w, const lcf_eval_table *t, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t a = 0; a < LCF_ARMS && !status && !t->orders_only; a++)
        status = lcf_score_sample_init(&w->background.scores[a], t->scores[a],
                                       t->seeds_n[a] * t->rows_n, err);
    return status;
}

static lcf_status compare_streams(lcf_comparison *out, const work *w, lcf_err *err)
{
    const lcf_stream_options options = {w->options->stream, w->options->allow.nan, 0};

    return lcf_stream_compare(out, w->arm_file[0], w->arm_file[1], &options, err);
}

static lcf_status compare_files(lcf_comparison *out, work *w, lcf_err *err)
{
    const lcf_evaluate_options *o = w->options;
    lcf_compare_options compare = {.replicates_n = o->replicates_n,
                                   .permutations_n = o->permutations_n,
                                   .list_k = o->list_k,
                                   .self_test_n = o->self_test_n,
                                   .seed = o->seed,
                                   .seeds_fixed = o->seeds_fixed};
    inputs in = {.table = {.rows_n = 0}};
    lcf_progress progress;
    lcf_pool *pool = NULL;
    lcf_status status =
        lcf_arm_table(&in.table, w->arm_file[0], w->arm_file[1], &w->options->allow, err);

    if (!status)
        status = sample_scores(w, &in.table, err);
    if (!status && o->dataset_dir)
        status = read_dataset(&in, o, err);
    if (!status)
        status = lcf_pool_create(&pool, o->threads, err);
    if (!status) {
        lcf_progress_start(&progress, "resampling", "replicates",
                           lcf_compare_steps(&compare, in.slices.slices_n));
        compare.progress = &progress;
        status = lcf_compare(out, &in.table, &in.slices, pool, &compare, err);
        lcf_progress_end(&progress);
    }
    lcf_pool_free(pool);
    lcf_slices_dispose(&in.slices);
    lcf_eval_table_dispose(&in.table);
    lcf_item_facts_dispose(&in.facts);
    return status;
}

static lcf_status write_text(const char *dir, const char *name, const lcf_report *report,
                             void (*write)(lcf_buf *, const lcf_report *), lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    write(&text, report);
    status = lcf_file_write_text(dir, name, &text, err);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status save(work *w, const lcf_report *report, const json_t *json, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, w->options->out_dir, err);
    const char *dir = status ? NULL : lcf_stage_path(stage);

    if (status)
        return status;
    status = lcf_json_save_in(dir, "report.json", json, err);
    if (!status)
        status = write_text(dir, "report.md", report, lcf_report_markdown, err);
    if (!status)
        status = write_text(dir, "report.html", report, lcf_report_html, err);
    return lcf_manifest_finish(w->manifest, stage, status, err);
}

/* ---- the command that makes the report again ---- */

static void append_option(lcf_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    lcf_buf_printf(out, " --%s ", name);
    lcf_shell_quote(out, value);
}

static void append_number(lcf_buf *out, const char *name, uint64_t value)
{
    lcf_buf_printf(out, " --%s %" PRIu64, name, value);
}

static void append_allowed(lcf_buf *out, const lcf_table_allow *a)
{
    const struct {
        bool allowed;
        const char *name;
    } all[] = {{a->unmatched, "unmatched"},
               {a->duplicates, "duplicates"},
               {a->nan, "nan"},
               {a->one_class, "one-class"},
               {a->any_score, "any-score"}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        append_option(out, "allow", all[i].allowed ? all[i].name : NULL);
}

static lcf_status write_command(work *w, lcf_err *err)
{
    const lcf_evaluate_options *o = w->options;
    lcf_buf out = LCF_BUF_INIT;

    lcf_buf_append_text(&out, "llmcf evaluate");
    append_option(&out, "a", o->arm_dir[0]);
    append_option(&out, "b", o->arm_dir[1]);
    append_option(&out, "dataset", o->dataset_dir);
    append_option(&out, "vectors", o->vectors_dir);
    append_option(&out, "retrieved", o->retrieved_dir);
    for (size_t i = 0; i < o->slice_by_n; i++)
        append_option(&out, "slice-by", o->slice_by[i]);
    for (size_t a = 0; a < LCF_ARMS; a++)
        if (o->latency_file[a]) {
            lcf_buf_printf(&out, " --latency %s=", a ? "B" : "A");
            lcf_shell_quote(&out, o->latency_file[a]);
        }
    append_option(&out, "split", o->split);
    append_allowed(&out, &o->allow);
    if (o->stream)
        append_option(&out, "stream", o->stream == LCF_STREAM_SORT ? "sort" : "sketch");
    for (size_t i = 0; i < o->require_n; i++)
        append_option(&out, "require", o->require[i]);
    append_number(&out, "replicates", o->replicates_n);
    append_number(&out, "permutations", o->permutations_n);
    append_number(&out, "self-test", o->self_test_n);
    append_number(&out, "top", o->list_k);
    append_number(&out, "seed", o->seed);
    append_option(&out, "seeds", o->seeds_fixed ? "fixed" : "drawn");
    append_option(&out, "out", "report"); /* wherever it stood: the same bytes */
    w->background.command = lcf_buf_take(&out);
    return w->background.command ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "command");
}

static lcf_status make(json_t **out, work *w, lcf_err *err)
{
    lcf_report report = {.split = w->options->split,
                         .arm_name = {w->arm_name[0], w->arm_name[1]},
                         .background = &w->background,
                         .conditions = w->conditions,
                         .conditions_n = w->options->require_n};
    lcf_comparison comparison;
    lcf_figures figures;
    lcf_status status =
        lcf_background_read(&w->background, w->options->arm_dir, w->options->latency_file,
                            w->options->split, w->options->allow.any_score, err);

    if (!status)
        status = write_command(w, err);
    if (!status)
        status = w->options->stream ? compare_streams(&comparison, w, err)
                                    : compare_files(&comparison, w, err);
    if (status)
        return status;
    report.comparison = &comparison;
    lcf_comparison_figures(&figures, &comparison);
    report.passed = lcf_gate_check(w->conditions, w->options->require_n, &figures);
    status = lcf_report_json(out, &report, err);
    if (!status)
        status = save(w, &report, *out, err);
    lcf_comparison_dispose(&comparison);
    return status;
}

lcf_status lcf_evaluate(json_t **out, bool *current, const lcf_evaluate_options *options,
                        lcf_err *err)
{
    work w = {.options = options};
    bool same = false;
    lcf_status status;

    *out = NULL;
    status = parse_gate(&w, err);
    if (!status)
        status = name_arms(&w, err);
    if (!status)
        status = describe(&w, err);
    if (!status) {
        same = !options->force && lcf_manifest_is_current(w.manifest, options->out_dir);
        status =
            same ? lcf_json_load_in(out, options->out_dir, "report.json", err) : make(out, &w, err);
    }
    if (!status)
        status = lcf_gate_verdict(json_object_get(*out, "gate"), err);
    else if (*out) {
        json_decref(*out);
        *out = NULL;
    }
    if (current)
        *current = same;
    for (size_t a = 0; a < LCF_ARMS; a++) {
        free(w.arm_name[a]);
        free(w.arm_file[a]);
    }
    free(w.conditions);
    lcf_manifest_free(w.manifest);
    lcf_background_dispose(&w.background);
    return status;
}
