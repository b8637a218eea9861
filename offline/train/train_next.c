/* The train-next step: options, progress, and what seed_runs.h asks of a training step. */
#include "offline/train/train_next.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/train/next_results.h"
#include "offline/train/seed_runs.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *loss_name(lcf_next_loss_kind kind)
{
    static const char *const NAMES[] = {"sampled", "full", "bce", NULL};

    return NAMES[kind];
}

static const char *sampling_name(lcf_next_sampling sampling)
{
    static const char *const NAMES[] = {"uniform", "log-uniform", NULL};

    return NAMES[sampling];
}

typedef struct run {
    const lcf_train_next_options *options;
    next_inputs inputs;
    next_result *results; /* [seeds_n], in the order of the options */
    pthread_mutex_t lock; /* of what follows */
    lcf_progress progress;
    uint64_t questions_done;
    uint32_t *planned; /* [seeds_n] epochs that a seed takes at least, as far as is known; 0 for one
                          that is there */
} run;

/* ---- options and identity ---- */

static unsigned needs_of(const lcf_train_next_options *o)
{
    return lcf_ranker_side_needs(o->config.side.side);
}

static lcf_status check_options(const lcf_train_next_options *o, lcf_err *err)
{
    const lcf_train_next_params *p = &o->params;

    if (!p->epochs_max || p->epochs_max > LCF_TRAIN_EPOCHS_MAX || !p->batch || !p->patience ||
        !p->negatives)
        return LCF_FAIL(err, LCF_EINVAL,
                        "epochs (1 to %d), batch, patience and negatives must be at least 1",
                        LCF_TRAIN_EPOCHS_MAX);
    if (!(p->learning_rate > 0.0 && p->learning_rate < INFINITY) ||
        !(p->weight_decay >= 0.0 && p->weight_decay < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "learning rate %g or weight decay %g is out of range",
                        p->learning_rate, p->weight_decay);
    if (!lcf_ranker_has_side(o->config.side.side))
        return LCF_FAIL(err, LCF_EINVAL, "there is no side module '%s'", o->config.side.side);
    if ((needs_of(o) & LCF_RANKER_VECTORS && !o->vectors_dir) ||
        (needs_of(o) & LCF_RANKER_EXAMPLES && (!o->examples_dir || !o->retrieved_dir)))
        return LCF_FAIL(err, LCF_EINVAL, "the side module %s needs vectors%s", o->config.side.side,
                        needs_of(o) & LCF_RANKER_EXAMPLES ? ", examples and retrieved examples"
                                                          : "");
    return lcf_train_check_seeds(o->seeds, o->seeds_n, err);
}

/* Parameters as JSON: what stands in the report and, member by member, in the manifest. */
static json_t *params_json(const lcf_train_next_options *o)
{
    const lcf_train_next_params *p = &o->params;
    const lcf_next_config *c = &o->config;
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:I, s:s, s:b, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "side",
        c->side.side, "epochs", (json_int_t)p->epochs_max, "patience", (json_int_t)p->patience,
        "batch", (json_int_t)p->batch, "loss", loss_name(p->loss), "rank_seen", (int)p->rank_seen,
        "lr", p->learning_rate, "weight_decay", p->weight_decay, "dropout", (double)c->dropout,
        "dim", (json_int_t)c->dim, "history", (json_int_t)c->history_max, "hidden",
        (json_int_t)c->hidden, "layers", (json_int_t)c->layers_n, "heads", (json_int_t)c->heads_n);
    int failed = !json;

    if (p->loss != LCF_NEXT_FULL)
        failed =
            failed || json_object_set_new(json, "sampler", json_string(sampling_name(p->sampling)));
    if (p->loss == LCF_NEXT_SAMPLED)
        failed = failed || json_object_set_new(json, "negatives", json_integer(p->negatives));
    if (needs_of(o))
        failed = failed ||
                 json_object_set_new(json, "side_scale", json_real((double)c->side_scale)) ||
                 json_object_set_new(json, "rec_weight", json_real((double)c->side.rec_weight));
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static lcf_status describe(lcf_manifest *m, void *arg, lcf_err *err)
{
    const lcf_train_next_options *o = ((const run *)arg)->options;
    lcf_status status = lcf_manifest_param_str(m, "model", o->config.encoder, err);
    json_t *params = params_json(o), *value;
    const char *name;

    if (!status && !params)
        status = LCF_FAIL(err, LCF_ENOMEM, "parameters of %s", o->out_dir);
    json_object_foreach(params, name, value)
    {
        if (status)
            break;
        if (json_is_string(value))
            status = lcf_manifest_param_str(m, name, json_string_value(value), err);
        else if (json_is_real(value))
            status = lcf_manifest_param_f64(m, name, json_real_value(value), err);
        else
            status = lcf_manifest_param_i64(
                m, name, json_is_true(value) ? 1 : json_integer_value(value), err);
    }
    json_decref(params);
    if (!status)
        status = lcf_manifest_input(m, "dataset", o->dataset_dir, err);
    if (!status && needs_of(o) & LCF_RANKER_VECTORS)
        status = lcf_manifest_input(m, "vectors", o->vectors_dir, err);
    if (!status && needs_of(o) & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_input(m, "examples", o->examples_dir, err);
    if (!status && needs_of(o) & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_input(m, "retrieved", o->retrieved_dir, err);
    return status;
}

static lcf_status open_inputs(void *arg, lcf_err *err)
{
    run *r = arg;
    const lcf_train_next_options *o = r->options;
    next_inputs *in = &r->inputs;
    lcf_status status = next_rows_open(&in->rows, o->dataset_dir, o->config.history_max, err);

    if (status)
        return status;
    in->config = o->config;
    in->config.items_n = in->rows.dataset.catalogue.items_n;
    status = next_side_open(&in->side, &in->config.side, &in->rows.dataset, o->vectors_dir,
                            o->examples_dir, o->retrieved_dir, err);
    if (status)
        return status;
    return next_sampler_init(&in->sampler, o->params.sampling, in->rows.item_count,
                             in->config.items_n, err);
}

/* ---- progress ---- */

static uint32_t min_epochs(const run *r, uint32_t epochs)
{
    const uint32_t most = r->options->params.epochs_max;

    return epochs < most ? epochs : most;
}

/* Questions of all seeds to train, should no later epoch be better than those so far. */
static uint64_t planned_questions(const run *r)
{
    uint64_t epochs = 0;

    for (size_t i = 0; i < r->options->seeds_n; i++)
        epochs += r->planned[i];
    return epochs * r->inputs.rows.questions_n;
}

static void start(void *arg, const size_t *missing, size_t missing_n)
{
    run *r = arg;

    for (size_t i = 0; i < missing_n; i++)
        r->planned[missing[i]] = min_epochs(r, 1 + r->options->params.patience);
    lcf_progress_start(&r->progress, "train-next", "rows", planned_questions(r));
}

static void on_step(void *arg, size_t questions)
{
    run *r = arg;

    pthread_mutex_lock(&r->lock);
    r->questions_done += questions;
    lcf_progress_update(&r->progress, r->questions_done);
    pthread_mutex_unlock(&r->lock);
}

static void on_epoch(void *arg, const next_result *so_far)
{
    const next_epoch *e = &so_far->epochs[so_far->epochs_n - 1];
    run *r = arg;
    size_t idx = 0;

    while (r->options->seeds[idx] != so_far->seed)
        idx++;
    pthread_mutex_lock(&r->lock);
    r->planned[idx] = min_epochs(r, so_far->best_epoch + r->options->params.patience);
    r->progress.total = planned_questions(r);
    lcf_progress_note(&r->progress, "seed %llu epoch %u loss %.4f valid NDCG@10 %.4f",
                      (unsigned long long)so_far->seed, so_far->epochs_n, e->loss, e->valid_ndcg10);
    lcf_log(LCF_LOG_INFO,
            "msg=\"epoch\" model=%s seed=%llu epoch=%u loss=%.5f valid_hr10=%.5f "
            "valid_ndcg10=%.5f rows_per_s=%.0f",
            r->options->config.encoder, (unsigned long long)so_far->seed, so_far->epochs_n, e->loss,
            e->valid_hr10, e->valid_ndcg10,
            (double)r->inputs.rows.questions_n * so_far->epochs_n /
                (so_far->seconds > 0.0 ? so_far->seconds : 1.0));
    pthread_mutex_unlock(&r->lock);
}

/* ---- seeds ---- */

static lcf_status load(void *arg, size_t idx, const char *dir, lcf_err *err)
{
    run *r = arg;

    return next_result_load(&r->results[idx], dir, r->options->seeds[idx], &r->inputs.rows, err);
}

static lcf_status train(void *arg, size_t idx, size_t threads, const char *dir, lcf_err *err)
{
    run *r = arg;
    const next_watch watch = {on_step, on_epoch, r};
    lcf_next *model = NULL;
    lcf_status status;

    (void)threads; /* a seed of this kind is trained by one */
    status = next_train_seed(&model, &r->results[idx], &r->inputs, &r->options->params,
                             r->options->seeds[idx], &watch, err);

    if (!status)
        status = next_result_save(&r->results[idx], model, dir, &r->inputs.rows, err);
    lcf_next_free(model);
    return status;
}

static double valid_ndcg(const run *r, size_t idx)
{
    return lcf_rank_mean(LCF_RANK_NDCG10, r->results[idx].ranks[LCF_VALID],
                         r->inputs.rows.rows_n[LCF_VALID]);
}

static size_t best_seed(void *arg)
{
    const run *r = arg;
    size_t best = 0;

    for (size_t i = 1; i < r->options->seeds_n; i++)
        if (valid_ndcg(r, i) > valid_ndcg(r, best))
            best = i;
    return best;
}

/* ---- the artefact ---- */

static json_t *report(void *arg, bool with_times)
{
    const run *r = arg;
    const lcf_train_next_options *o = r->options;
    const next_rows *rows = &r->inputs.rows;
    json_t *seeds = json_array();
    int failed = !seeds;

    for (size_t i = 0; i < o->seeds_n; i++)
        failed |= json_array_append_new(seeds, next_result_json(&r->results[i], rows, with_times));
    if (failed) {
        json_decref(seeds);
        return NULL;
    }
    return json_pack("{s:i, s:s, s:o, s:{s:I, s:I, s:I, s:I}, s:I, s:o, s:I, s:o, s:o}", "version",
                     1, "model", o->config.encoder, "params", params_json(o), "rows", "users",
                     (json_int_t)rows->sequences_n, "train", (json_int_t)rows->questions_n, "valid",
                     (json_int_t)rows->rows_n[LCF_VALID], "test",
                     (json_int_t)rows->rows_n[LCF_TEST], "candidates",
                     (json_int_t)(r->inputs.config.items_n - 1), "seeds", seeds, "best_seed",
                     (json_int_t)o->seeds[best_seed(arg)], "valid",
                     next_results_summary(r->results, o->seeds_n, rows, LCF_VALID), "test",
                     next_results_summary(r->results, o->seeds_n, rows, LCF_TEST));
}

static lcf_status write_ranks(void *arg, const char *dir, lcf_err *err)
{
    const run *r = arg;
    const bool rank_seen = r->options->params.rank_seen;
    lcf_status status = next_results_save_ranks(dir, r->results, r->options->seeds_n, &r->inputs,
                                                rank_seen, LCF_VALID, err);

    if (!status)
        status = next_results_save_ranks(dir, r->results, r->options->seeds_n, &r->inputs,
                                         rank_seen, LCF_TEST, err);
    return status;
}

static void run_dispose(run *r)
{
    for (size_t i = 0; r->results && i < r->options->seeds_n; i++)
        next_result_dispose(&r->results[i]);
    free(r->results);
    free(r->planned);
    next_sampler_dispose(&r->inputs.sampler);
    next_side_close(&r->inputs.side);
    next_rows_close(&r->inputs.rows);
    pthread_mutex_destroy(&r->lock);
}

lcf_status lcf_train_next(json_t **out, bool *current, const lcf_train_next_options *options,
                          lcf_err *err)
{
    run r = {.options = options};
    const seed_runs runs = {"train-next",
                            options->out_dir,
                            options->seeds,
                            options->seeds_n,
                            options->threads,
                            options->force,
                            &r,
                            describe,
                            open_inputs,
                            load,
                            start,
                            train,
                            report,
                            best_seed,
                            write_ranks};
    bool same = false;
    json_t *made = NULL;
    lcf_status status = check_options(options, err);

    if (status)
        return status;
    pthread_mutex_init(&r.lock, NULL);
    r.results = lcf_alloc_zero(options->seeds_n, sizeof(*r.results));
    r.planned = lcf_alloc_zero(options->seeds_n, sizeof(*r.planned));
    if (!r.results || !r.planned)
        status = LCF_FAIL(err, LCF_ENOMEM, "results of %zu seeds", options->seeds_n);
    if (!status)
        status = seed_runs_make(&made, &same, &runs, err);
    if (r.progress.label)
        lcf_progress_end(&r.progress);
    run_dispose(&r);
    if (current)
        *current = same;
    if (out)
        *out = json_incref(made);
    json_decref(made);
    return status;
}
