/* The step behind `llmcf measure`. */
#include "offline/recgen/run_measure.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct measuring {
    const lcf_measure_step_options *o;
    lcf_manifest *manifest;
    lcf_llama *model;
    lcf_dataset d;
    lcf_related *related;
    lcf_pool *pool;
    lcf_recgen_measures measures;
    lcf_yes_no *yes_no; /* [auc.rows] */
    lcf_yes_no_auc auc;
    json_t *report;
} measuring;

void lcf_measure_step_options_init(lcf_measure_step_options *o)
{
    *o = (lcf_measure_step_options){.sources = LCF_SOURCES_OPTIONS_INIT,
                                    .mixture = LCF_MIXTURE_OPTIONS_INIT,
                                    .measure = LCF_MEASURE_OPTIONS_INIT};
}

static lcf_status describe(measuring *m, lcf_err *err)
{
    const lcf_measure_step_options *o = m->o;
    const lcf_input inputs[] = {
        {"model", o->model}, {"dataset", o->dataset}, {"yes_no", o->yes_no}, {NULL, NULL}};
    json_t *params = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cutoff", (json_int_t)o->mixture.cutoff, "auc_rows",
        (json_int_t)o->measure.auc_rows, "cot_rows", (json_int_t)o->measure.cot_rows,
        "general_rows", (json_int_t)o->measure.general_rows, "choice_rows",
        (json_int_t)o->measure.choice_rows, "pair", (json_int_t)o->pair, "seed",
        (json_int_t)o->sources.seed);
    lcf_status status = lcf_manifest_describe(&m->manifest, "measure", params, inputs, err);

    if (!status)
        status = lcf_sources_describe(m->manifest, &o->sources, err);
    if (!status && o->measure.choice_dir)
        status = lcf_choice_describe(m->manifest, o->measure.choice_dir, err);
    return status;
}

static lcf_status open_inputs(measuring *m, lcf_err *err)
{
    const lcf_measure_step_options *o = m->o;
    lcf_status status = lcf_llama_open(&m->model, o->model, err);

    if (!status && o->mixture.cutoff > m->model->config.context_n)
        status = LCF_FAIL(err, LCF_EUSAGE, "rows of %zu tokens for a model with a context of %zu",
                          o->mixture.cutoff, m->model->config.context_n);
    if (!status && o->dataset)
        status = lcf_dataset_open(&m->d, o->dataset, err);
    if (!status && o->dataset)
        status = lcf_related_create(&m->related, &m->d, err);
    return status ? status : lcf_pool_create(&m->pool, o->threads, err);
}

/* ---- measures of the mixture ---- */

static lcf_status measure_mixture(measuring *m, lcf_err *err)
{
    const lcf_measure_step_options *o = m->o;
    lcf_measure_options options = o->measure;
    lcf_sources *sources = NULL;
    lcf_mixture *mixture = NULL;
    lcf_status status =
        lcf_sources_open(&sources, o->dataset ? &m->d : NULL, m->related, &o->sources, err);

    options.context_n = o->mixture.cutoff;
    if (!status)
        status = lcf_mixture_create(&mixture, sources, m->model->tokenizer, &o->mixture, err);
    if (!status)
        status = lcf_recgen_measure(&m->measures, m->model, m->model->tokenizer, mixture, sources,
                                    &options, m->pool, err);
    lcf_mixture_free(mixture);
    lcf_sources_free(sources);
    return status;
}

/* What is measured without a mixture. */
static lcf_status measure_choice(measuring *m, lcf_err *err)
{
    const lcf_measure_options *o = &m->o->measure;

    m->measures = (lcf_recgen_measures){
        .auc = NAN, .cot_perplexity = NAN, .general_perplexity = NAN, .general_bits_per_byte = NAN};
    m->measures.choice.accuracy = NAN;
    if (!o->choice_dir)
        return LCF_OK;
    return lcf_choice_measure(&m->measures.choice, m->model, m->model->tokenizer, o->choice_dir,
                              o->choice_rows, m->model->config.context_n, m->pool, err);
}

/* ---- Yes or No ---- */

static lcf_status score_yes_no(measuring *m, const lcf_sources *sources, lcf_mixture *mixture,
                               lcf_err *err)
{
    size_t n = lcf_sources_info(sources, 0).rows_n;
    lcf_status status;

    m->yes_no = lcf_alloc(n, sizeof(*m->yes_no));
    if (!m->yes_no)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu scores", n);
    status = lcf_yes_no_score(m->yes_no, m->model, m->model->tokenizer, mixture, sources, 0,
                              m->o->pair, m->o->mixture.cutoff, m->pool, err);
    return status ? status : lcf_yes_no_measure(&m->auc, m->yes_no, n, err);
}

static lcf_status measure_yes_no(measuring *m, lcf_err *err)
{
    lcf_sources_options options = m->o->sources;
    lcf_sources *sources = NULL;
    lcf_mixture *mixture = NULL;
    lcf_status status;

    options.n = 1;
    options.rec_share = NAN;
    options.list[0] = (lcf_source_spec){.kind = LCF_SOURCE_ALPACA,
                                        .text = m->o->yes_no,
                                        .path = {m->o->yes_no, strlen(m->o->yes_no)},
                                        .weight = 1.0,
                                        .part = 1.0,
                                        .rec = true};
    status = lcf_sources_open(&sources, NULL, NULL, &options, err);
    if (!status)
        status = lcf_mixture_create(&mixture, sources, m->model->tokenizer, &m->o->mixture, err);
    if (!status)
        status = score_yes_no(m, sources, mixture, err);
    if (status)
        lcf_err_prefix(err, "%s", m->o->yes_no);
    lcf_mixture_free(mixture);
    lcf_sources_free(sources);
    return status;
}

/* ---- files ---- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static lcf_status make_report(measuring *m, lcf_err *err)
{
    static const char *const PAIRS[] = {"own", "plain", "spaced"};

    m->report = json_pack("{s:s, s:i, s:s, s:o}", "format", "llmcf-measures", "version", 1, "model",
                          m->model->id, "measures", lcf_recgen_measures_json(&m->measures));
    if (!m->report)
        return LCF_FAIL(err, LCF_ENOMEM, "measures");
    if (m->o->yes_no &&
        json_object_set_new(m->report, "yes_no",
                            json_pack("{s:I, s:I, s:s, s:o, s:o}", "rows", (json_int_t)m->auc.rows,
                                      "yes", (json_int_t)m->auc.yes, "pair", PAIRS[m->o->pair],
                                      "auc_published", number(m->auc.published), "auc_difference",
                                      number(m->auc.difference))))
        return LCF_FAIL(err, LCF_ENOMEM, "measures");
    return LCF_OK;
}

static lcf_status write_scores(const measuring *m, const char *dir, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    if (!m->o->yes_no)
        return LCF_OK;
    lcf_buf_append_text(&text, "key\tuser\tlabel\tscore\tdifference\n");
    for (size_t i = 0; i < m->auc.rows; i++) {
        const lcf_yes_no *y = &m->yes_no[i];
        lcf_buf_printf(&text, "%zu\t%zu\t%d\t%.9g\t%.9g\n", i + 1, i + 1, y->label,
                       lcf_yes_no_published(y), y->difference);
    }
    status = lcf_file_write_text(dir, "yes_no.tsv", &text, err);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status write_files(measuring *m, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "measures.json");
    lcf_status status =
        path ? lcf_json_save(path, m->report, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = write_scores(m, dir, err);
    free(path);
    return status;
}

static lcf_status write_artefact(measuring *m, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, m->o->out, err);

    if (!status)
        status = write_files(m, lcf_stage_path(stage), err);
    return lcf_manifest_finish(m->manifest, stage, status, err);
}

static lcf_status run(measuring *m, lcf_err *err)
{
    lcf_status status = open_inputs(m, err);

    if (!status)
        status =
            m->o->dataset || m->o->sources.n ? measure_mixture(m, err) : measure_choice(m, err);
    if (!status && m->o->yes_no)
        status = measure_yes_no(m, err);
    if (!status)
        status = make_report(m, err);
    return status ? status : write_artefact(m, err);
}

static lcf_status read_report(json_t **report, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "measures.json");
    lcf_status status =
        path ? lcf_json_load(report, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

lcf_status lcf_measure_step(json_t **report, bool *current, const lcf_measure_step_options *options,
                            lcf_err *err)
{
    measuring m = {.o = options};
    lcf_status status = describe(&m, err);

    *report = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(m.manifest, options->out);
    if (*current)
        status = read_report(report, options->out, err);
    else if (!status)
        status = run(&m, err);
    if (!status && !*current)
        *report = json_incref(m.report);
    json_decref(m.report);
    free(m.yes_no);
    lcf_pool_free(m.pool);
    lcf_related_free(m.related);
    lcf_dataset_close(&m.d);
    lcf_llama_close(m.model);
    lcf_manifest_free(m.manifest);
    return status;
}
