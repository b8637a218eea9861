/*
 * The qformer step. Invariant: OUT.partial holds an epoch of the same inputs and options only (its
 * manifest says which).
 */
#include "offline/ilm/run_qformer.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/partial.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/ilm/phase1_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    const lcf_qformer_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_cf_vectors vectors;
    lcf_gguf *gguf;
    lcf_tokenizer *tokenizer;
    phase1_data data;
    lcf_qformer *m;
    phase1_result *result;
    lcf_partial *partial;
    json_t *report;
    lcf_progress progress;
    uint64_t steps_n;
} run;

/* ---- identity ---- */

static json_t *names_of(const phase1_params *p)
{
    char losses[64] = "";

    for (int i = 0; i < PHASE1_LOSSES_N; i++)
        if (p->losses & PHASE1_BIT(i))
            snprintf(losses + strlen(losses), sizeof(losses) - strlen(losses), "%s%s",
                     losses[0] ? "," : "", PHASE1_LOSS_NAMES[i]);
    return json_pack("{s:s, s:s}", "losses", losses, "mix", p->alternate ? "alternate" : "sum");
}

static lcf_status describe_numbers(lcf_manifest *m, const lcf_qformer_options *o, lcf_err *err)
{
    const lcf_qformer_config *c = &o->config;
    const phase1_params *p = &o->params;
    const struct {
        const char *name;
        int64_t value;
    } whole[] = {{"vocab", o->model ? 0 : o->vocab},
                 {"layers", c->layers},
                 {"hidden", c->hidden},
                 {"heads", c->heads},
                 {"ffn", c->ffn},
                 {"queries", c->queries},
                 {"features", c->feature_dim},
                 {"text_max", c->text_max},
                 {"cross_every", c->cross_every},
                 {"epochs", p->epochs_max},
                 {"patience", p->patience},
                 {"batch", p->batch},
                 {"warmup", p->warmup},
                 {"seed", (int64_t)p->seed}};
    const struct {
        const char *name;
        double value;
    } reals[] = {{"dropout", (double)c->dropout},
                 {"learning_rate", p->learning_rate},
                 {"weight_decay", p->weight_decay},
                 {"clip", p->clip},
                 {"smoothing", p->smoothing}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(whole) / sizeof(*whole) && !status; i++)
        status = lcf_manifest_param_i64(m, whole[i].name, whole[i].value, err);
    for (size_t i = 0; i < sizeof(reals) / sizeof(*reals) && !status; i++)
        status = lcf_manifest_param_f64(m, reals[i].name, reals[i].value, err);
    return status;
}

static lcf_status describe(lcf_manifest **out, const lcf_qformer_options *o, lcf_err *err)
{
    const lcf_input inputs[] = {
        {"dataset", o->dataset}, {"ranker", o->ranker}, {"model", o->model}, {NULL, NULL}};
    const lcf_status status =
        lcf_manifest_describe(out, "qformer", names_of(&o->params), inputs, err);

    return status ? status : describe_numbers(*out, o, err);
}

/* ---- inputs ---- */

/* Pieces are learned from what will be trained on alone. */
static lcf_status learn_tokenizer(run *r, lcf_err *err)
{
    uint32_t *items = lcf_alloc(r->data.known.n, sizeof(*items));
    size_t n = 0;
    lcf_status status;

    if (!items)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu items", r->data.known.n);
    for (size_t i = 0; i < r->data.known.n; i++) {
        const uint32_t item = r->data.known.list[i];

        if (phase1_split_of(lcf_strings_get(&r->data.catalogue->item_id, item)) == LCF_TRAIN)
            items[n++] = item;
    }
    status = lcf_item_texts_tokenizer(&r->tokenizer, r->data.catalogue, items, n, r->o->vocab, err);
    free(items);
    return status;
}

static lcf_status open_tokenizer(run *r, lcf_err *err)
{
    lcf_status status;

    if (!r->o->model)
        return learn_tokenizer(r, err);
    status = lcf_gguf_open(&r->gguf, r->o->model, err);
    return status ? status : lcf_tokenizer_from_gguf(&r->tokenizer, r->gguf, err);
}

static lcf_status open_inputs(run *r, lcf_err *err)
{
    lcf_qformer_config config = r->o->config;
    lcf_status status = lcf_dataset_open(&r->dataset, r->o->dataset, err);

    if (!status)
        status = lcf_cf_vectors_open_items(&r->vectors, r->o->ranker, &r->dataset, err);
    if (!status)
        status = phase1_data_create(&r->data, &r->dataset, &r->vectors, err);
    if (!status)
        status = open_tokenizer(r, err);
    if (!status)
        status = phase1_data_texts(&r->data, r->tokenizer, config.text_max - 2, err);
    if (!status)
        status = phase1_check(&r->data, &r->o->params, err);
    if (status)
        return status;
    config.item_dim = (uint32_t)r->vectors.dim;
    config.item_scale = r->vectors.scale;
    config.vocab = (uint32_t)lcf_tokenizer_vocab_n(r->tokenizer);
    return lcf_qformer_create(&r->m, &config, r->o->params.seed, err);
}

/* ---- training ---- */

static void told_step(void *arg)
{
    run *r = arg;

    lcf_progress_update(&r->progress, ++r->steps_n);
}

static void told_epoch(void *arg, const phase1_result *so_far)
{
    run *r = arg;
    const phase1_epoch *e = &so_far->epochs[so_far->epochs_n - 1];

    lcf_progress_note(&r->progress, "epoch %u criterion %.3f recall@10 %.3f", so_far->epochs_n,
                      e->criterion, e->valid.item_to_text_10);
}

static lcf_status train(run *r, lcf_err *err)
{
    const phase1_watch watch = {told_step, told_epoch, r};
    lcf_status status;

    r->result = lcf_alloc_zero(1, sizeof(*r->result));
    if (!r->result)
        return LCF_FAIL(err, LCF_ENOMEM, "results of training");
    lcf_progress_start(&r->progress, "qformer", "steps",
                       phase1_steps(&r->data, &r->o->params) * r->o->params.epochs_max);
    status = phase1_train(r->result, r->m, &r->data, &r->o->params, lcf_partial_path(r->partial),
                          &watch, err);
    lcf_progress_end(&r->progress);
    if (status)
        return status;
    r->report = phase1_report(r->result, r->m, &r->data, &r->o->params);
    return r->report ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "report");
}

/* ---- the artefact ---- */

static lcf_status save_tokenizer(const run *r, const char *path, lcf_err *err)
{
    lcf_gguf_writer *w = NULL;
    lcf_status status = lcf_gguf_create(&w, path, err);

    if (status)
        return status;
    status = lcf_tokenizer_save(r->tokenizer, w, err);
    if (!status)
        return lcf_gguf_commit(w, err);
    lcf_gguf_abandon(w);
    return status;
}

static lcf_status write_files(const run *r, const char *dir, lcf_err *err)
{
    char *weights = lcf_path_join(dir, "qformer.lcf"),
         *words = lcf_path_join(dir, "tokenizer.gguf");
    lcf_status status = weights && words ? lcf_qformer_save(r->m, weights, err)
                                         : LCF_FAIL(err, LCF_ENOMEM, "paths in %s", dir);

    if (!status && !r->o->model)
        status = save_tokenizer(r, words, err);
    if (!status)
        status = lcf_json_save_in(dir, "report.json", r->report, err);
    free(weights);
    free(words);
    return status;
}

static lcf_status write_artefact(run *r, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, r->o->out, err);

    if (!status)
        status = write_files(r, lcf_stage_path(stage), err);
    status = lcf_manifest_finish(r->manifest, stage, status, err);
    return status ? status : lcf_partial_remove(r->partial, err);
}

/* ---- the step ---- */

static lcf_status make(run *r, lcf_err *err)
{
    lcf_status status = open_inputs(r, err);

    if (!status)
        status = lcf_partial_open(&r->partial, r->o->out, r->manifest, r->o->force, err);
    if (!status)
        status = train(r, err);
    return status ? status : write_artefact(r, err);
}

lcf_status lcf_qformer_step(json_t **report, bool *current, const lcf_qformer_options *options,
                            lcf_err *err)
{
    run r = {.o = options};
    lcf_status status = describe(&r.manifest, options, err);

    *report = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(r.manifest, options->out);
    if (*current)
        status = lcf_json_load_in(report, options->out, "report.json", err);
    else if (!status)
        status = make(&r, err);
    if (!status && !*current)
        *report = json_incref(r.report);
    json_decref(r.report);
    lcf_partial_close(r.partial);
    free(r.result);
    lcf_qformer_free(r.m);
    phase1_data_dispose(&r.data);
    lcf_tokenizer_free(r.tokenizer);
    lcf_gguf_close(r.gguf);
    lcf_cf_vectors_dispose(&r.vectors);
    lcf_dataset_close(&r.dataset);
    lcf_manifest_free(r.manifest);
    return status;
}
