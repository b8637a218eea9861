/* The train step: options, progress, the report, and what seed_runs.h asks of a training step. */
#include "offline/train/train.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/model/codes.h"
#include "offline/eval/stats.h"
#include "offline/train/results.h"
#include "offline/train/seed_runs.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- options and identity ---- */

static lcf_status check_parts(const lcf_train_options *o, lcf_err *err)
{
    const unsigned needs = lcf_ranker_side_needs(o->side);

    if (!lcf_ranker_has_backbone(o->backbone) || !lcf_ranker_has_side(o->side))
        return LCF_FAIL(err, LCF_EINVAL, "there is no backbone %s or no side module %s",
                        o->backbone, o->side);
    if ((needs & LCF_RANKER_VECTORS && !o->vectors_dir) ||
        (needs & LCF_RANKER_EXAMPLES && (!o->examples_dir || !o->retrieved_dir)) ||
        (needs & LCF_RANKER_KNOWLEDGE && !o->knowledge_dir))
        return LCF_FAIL(err, LCF_EINVAL, "the side module %s needs %s", o->side,
                        needs & LCF_RANKER_EXAMPLES    ? "vectors, examples and retrieved examples"
                        : needs & LCF_RANKER_KNOWLEDGE ? "vectors and knowledge"
                                                       : "vectors");
    return LCF_OK;
}

static lcf_status check_options(const lcf_train_options *o, lcf_err *err)
{
    const lcf_train_params *p = &o->params;
    lcf_status status;

    if (!p->epochs_max || p->epochs_max > LCF_TRAIN_EPOCHS_MAX || !p->batch || !p->patience)
        return LCF_FAIL(err, LCF_EINVAL, "epochs (1 to %d), batch and patience must be at least 1",
                        LCF_TRAIN_EPOCHS_MAX);
    if (!(p->learning_rate > 0.0 && p->learning_rate < INFINITY) ||
        !(p->weight_decay >= 0.0 && p->weight_decay < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "learning rate %g or weight decay %g is out of range",
                        p->learning_rate, p->weight_decay);
    if (!(p->side_learning_rate >= 0.0 && p->side_learning_rate < INFINITY) ||
        !(p->ema >= 0.0 && p->ema < 1.0))
        return LCF_FAIL(err, LCF_EINVAL,
                        "learning rate %g of the side module or decay %g of the average is out of "
                        "range",
                        p->side_learning_rate, p->ema);
    if (p->ema > 0.0 && p->sparse_tables)
        return LCF_FAIL(
            err, LCF_EINVAL,
            "an average of the weights looks at every row of every table in every step, "
            "sparse updates only at those of the batch: choose one");
    if (o->head_norm && p->batch < 2)
        return LCF_FAIL(err, LCF_EINVAL,
                        "batch normalisation of one row leaves nothing of it: give batches of 2 or "
                        "more");
    if (!(p->code_scale > 0.0 && p->code_scale < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "code scale %g is out of range", p->code_scale);
    if (!(p->plateau > 0.0 && p->plateau <= 1.0) || !(p->clip >= 0.0 && p->clip < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "plateau %g or clip %g is out of range", p->plateau,
                        p->clip);
    if (!o->init_dir != !o->init_dataset_dir)
        return LCF_FAIL(err, LCF_EINVAL,
                        "a warm start needs both an earlier ranker and its dataset");
    if (o->judged_dir && !(o->distill_weight > 0.0 && o->distill_weight < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "a distillation of weight %g", o->distill_weight);
    status = lcf_train_check_seeds(o->seeds, o->seeds_n, err);
    return status ? status : check_parts(o, err);
}

static const char *decay_name(const lcf_train_params *p)
{
    return p->decoupled ? "decoupled" : "l2";
}

static const char *table_updates_name(const lcf_train_params *p)
{
    return p->sparse_tables ? "sparse" : "dense";
}

static lcf_status describe_params(lcf_manifest *m, const lcf_train_options *o, lcf_err *err)
{
    const lcf_train_params *p = &o->params;
    const struct {
        const char *name;
        double value;
    } reals[] = {{"lr", p->learning_rate}, {"weight_decay", p->weight_decay},
                 {"dropout", p->dropout},  {"plateau", p->plateau},
                 {"clip", p->clip},        {"rec_weight", p->rec_weight}};
    const lcf_train_params published = LCF_TRAIN_PARAMS_INIT;
    const bool alone = !strcmp(o->side, lcf_ranker_side(0)->name);
    lcf_status status = lcf_manifest_param_str(m, "backbone", o->backbone, err);

    if (!status)
        status = lcf_manifest_param_str(m, "side", o->side, err);
    if (!status && lcf_ranker_side_needs(o->side) & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_param_str(m, "order", lcf_example_order_name(o->order), err);
    if (!status && o->history_labels)
        status = lcf_manifest_param_i64(m, "history_labels", 1, err);
    if (!status && o->head_norm)
        status = lcf_manifest_param_str(m, "norm", "batch", err);
    if (!status && p->dim != published.dim)
        status = lcf_manifest_param_i64(m, "dim", p->dim, err);
    if (!status && lcf_ranker_takes_graph(o->backbone))
        status = lcf_manifest_param_i64(m, "graph_layers", p->graph_layers_n, err);
    if (!status && lcf_ranker_has_codes(o->backbone))
        status = lcf_manifest_param_f64(m, "code_scale", p->code_scale, err);
    if (!status && lcf_ranker_has_codes(o->backbone))
        status = lcf_manifest_param_i64(m, "soft_epochs", p->soft_epochs, err);
    if (!status && p->side_learning_rate > 0.0)
        status = lcf_manifest_param_f64(m, "side_lr", p->side_learning_rate, err);
    if (!status && p->ema > 0.0)
        status = lcf_manifest_param_f64(m, "ema", p->ema, err);
    if (!status && o->judged_dir)
        status = lcf_manifest_param_f64(m, "distill_weight", o->distill_weight, err);
    if (!status)
        status = lcf_manifest_param_i64(m, "epochs", p->epochs_max, err);
    if (!status)
        status = lcf_manifest_param_i64(m, "batch", p->batch, err);
    if (!status)
        status = lcf_manifest_param_i64(m, "patience", p->patience, err);
    if (!status)
        status = lcf_manifest_param_str(m, "decay", decay_name(p), err);
    if (!status)
        status = lcf_manifest_param_str(m, "table_updates", table_updates_name(p), err);
    for (size_t i = 0; i < (alone ? 5 : 6) && !status; i++)
        status = lcf_manifest_param_f64(m, reals[i].name, reals[i].value, err);
    return status;
}

static lcf_status describe_inputs(lcf_manifest *m, const lcf_train_options *o, lcf_err *err)
{
    const unsigned needs = lcf_ranker_side_needs(o->side);
    lcf_status status = lcf_manifest_input(m, "dataset", o->dataset_dir, err);

    if (!status && needs & LCF_RANKER_VECTORS)
        status = lcf_manifest_input(m, "vectors", o->vectors_dir, err);
    if (!status && needs & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_input(m, "examples", o->examples_dir, err);
    if (!status && needs & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_input(m, "retrieved", o->retrieved_dir, err);
    if (!status && needs & LCF_RANKER_KNOWLEDGE)
        status = lcf_manifest_input(m, "knowledge", o->knowledge_dir, err);
    if (!status && o->judged_dir)
        status = lcf_manifest_input(m, "judged", o->judged_dir, err);
    if (!status && o->init_dir)
        status = lcf_manifest_input(m, "init", o->init_dir, err);
    if (!status && o->init_dir)
        status = lcf_manifest_input(m, "init_dataset", o->init_dataset_dir, err);
    return status;
}

/* ---- the run ---- */

typedef struct run {
    const lcf_train_options *options;
    train_inputs inputs;
    train_result *results; /* [seeds_n], in the order of the options */
    pthread_mutex_t lock;  /* of what follows */
    lcf_progress progress;
    uint64_t rows_done;
    uint32_t *planned; /* [seeds_n] epochs that a seed takes at least, as far as is known; 0 for one
                          that is there */
} run;

static lcf_status describe(lcf_manifest *m, void *arg, lcf_err *err)
{
    const lcf_train_options *o = ((const run *)arg)->options;
    lcf_status status = describe_params(m, o, err);

    return status ? status : describe_inputs(m, o, err);
}

static lcf_status open_inputs(void *arg, lcf_err *err)
{
    run *r = arg;

    return train_inputs_open(&r->inputs, r->options, err);
}

static lcf_status load(void *arg, size_t idx, const char *dir, lcf_err *err)
{
    run *r = arg;

    return train_result_load(&r->results[idx], dir, r->options->seeds[idx], &r->inputs.dataset,
                             err);
}

/* ---- progress ---- */

static uint32_t min_epochs(const lcf_train_params *p, uint32_t epochs)
{
    return epochs < p->epochs_max ? epochs : p->epochs_max;
}

static size_t seed_idx(const run *r, uint64_t seed)
{
    size_t i = 0;

    while (r->options->seeds[i] != seed)
        i++;
    return i;
}

/* Rows of all seeds to train, should no later epoch be better than those so far. */
static uint64_t planned_rows(const run *r)
{
    uint64_t epochs = 0;

    for (size_t i = 0; i < r->options->seeds_n; i++)
        epochs += r->planned[i];
    return epochs * r->inputs.dataset.split_begin[LCF_VALID];
}

static void start(void *arg, const size_t *missing, size_t missing_n)
{
    run *r = arg;

    for (size_t i = 0; i < missing_n; i++)
        r->planned[missing[i]] = min_epochs(&r->options->params, 1 + r->options->params.patience);
    lcf_progress_start(&r->progress, "train", "rows", planned_rows(r));
}

static void on_step(void *arg, size_t rows)
{
    run *r = arg;

    pthread_mutex_lock(&r->lock);
    r->rows_done += rows;
    lcf_progress_update(&r->progress, r->rows_done);
    pthread_mutex_unlock(&r->lock);
}

static void on_epoch(void *arg, const train_result *so_far)
{
    const train_epoch *e = &so_far->epochs[so_far->epochs_n - 1];
    run *r = arg;

    pthread_mutex_lock(&r->lock);
    r->planned[seed_idx(r, so_far->seed)] =
        min_epochs(&r->options->params, so_far->best_epoch + r->options->params.patience);
    r->progress.total = planned_rows(r);
    lcf_progress_note(&r->progress, "seed %llu epoch %u loss %.4f valid AUC %.4f",
                      (unsigned long long)so_far->seed, so_far->epochs_n, e->loss, e->valid_auc);
    lcf_log(LCF_LOG_INFO,
            "msg=\"epoch\" backbone=%s side=%s seed=%llu epoch=%u loss=%.5f valid_auc=%.5f "
            "samples_per_s=%.0f",
            r->options->backbone, r->options->side, (unsigned long long)so_far->seed,
            so_far->epochs_n, e->loss, e->valid_auc,
            (double)r->inputs.dataset.split_begin[LCF_VALID] * so_far->epochs_n /
                (so_far->seconds > 0.0 ? so_far->seconds : 1.0));
    pthread_mutex_unlock(&r->lock);
}

/* ---- training ---- */

static lcf_status train(void *arg, size_t idx, size_t threads, const char *dir, lcf_err *err)
{
    run *r = arg;
    const train_watch watch = {on_step, on_epoch, r};
    lcf_ranker *ranker = NULL;
    lcf_status status = train_seed(&ranker, &r->results[idx], &r->inputs, &r->options->params,
                                   r->options->seeds[idx], threads, dir, &watch, err);

    if (!status)
        status = train_result_save(&r->results[idx], ranker, dir, &r->inputs.dataset, err);
    lcf_ranker_free(ranker);
    return status;
}

/* ---- the artefact ---- */

static size_t best_seed(void *arg)
{
    const run *r = arg;
    size_t best = 0;

    for (size_t i = 1; i < r->options->seeds_n; i++)
        if (r->results[i].valid_auc > r->results[best].valid_auc)
            best = i;
    return best;
}

/* Mean and sample standard deviation over the seeds; null for one seed. */
static json_t *summary(const run *r, size_t field)
{
    const size_t n = r->options->seeds_n;
    double values[LCF_TRAIN_SEEDS_MAX];

    for (size_t i = 0; i < n; i++)
        values[i] = *(const double *)((const char *)&r->results[i] + field);
    return json_pack("{s:f, s:o}", "mean", lcf_stats_mean(values, n), "sd",
                     n < 2 ? json_null() : json_real(lcf_stats_std(values, n)));
}

static json_t *params_json(const lcf_train_options *o)
{
    const lcf_train_params *p = &o->params;
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:s, s:s, s:b, s:b}", "epochs",
        (json_int_t)p->epochs_max, "batch", (json_int_t)p->batch, "patience",
        (json_int_t)p->patience, "lr", p->learning_rate, "weight_decay", p->weight_decay, "dropout",
        p->dropout, "rec_weight", p->rec_weight, "order", lcf_example_order_name(o->order),
        "distill_weight", o->judged_dir ? o->distill_weight : 0.0, "plateau", p->plateau, "clip",
        p->clip, "decay", decay_name(p), "table_updates", table_updates_name(p), "warm_start",
        o->init_dir != NULL, "history_labels", o->history_labels);
    int failed = !json;

    failed |= json_object_set_new(json, "dim", json_integer(p->dim));
    if (p->side_learning_rate > 0.0)
        failed |= json_object_set_new(json, "side_lr", json_real(p->side_learning_rate));
    if (p->ema > 0.0)
        failed |= json_object_set_new(json, "ema", json_real(p->ema));
    if (o->head_norm)
        failed |= json_object_set_new(json, "norm", json_string("batch"));
    if (lcf_ranker_takes_graph(o->backbone))
        failed |= json_object_set_new(json, "graph_layers", json_integer(p->graph_layers_n));
    if (lcf_ranker_has_codes(o->backbone)) {
        failed |= json_object_set_new(json, "code_scale", json_real(p->code_scale));
        failed |= json_object_set_new(json, "soft_epochs", json_integer(p->soft_epochs));
    }
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *make_report(void *arg, bool with_times)
{
    const run *r = arg;
    const lcf_train_options *o = r->options;
    const lcf_dataset *d = &r->inputs.dataset;
    json_t *seeds = json_array();
    int failed = !seeds;

    for (size_t i = 0; i < o->seeds_n; i++)
        failed |= json_array_append_new(seeds, train_result_json(&r->results[i], with_times));
    if (failed) {
        json_decref(seeds);
        return NULL;
    }
    return json_pack("{s:i, s:s, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}}",
                     "version", 2, "backbone", o->backbone, "side", o->side, "params",
                     params_json(o), "best_seed", (json_int_t)r->results[best_seed(arg)].seed,
                     "seeds", seeds, "valid_auc", summary(r, offsetof(train_result, valid_auc)),
                     "valid_logloss", summary(r, offsetof(train_result, valid_logloss)), "test_auc",
                     summary(r, offsetof(train_result, test_auc)), "test_logloss",
                     summary(r, offsetof(train_result, test_logloss)), "rows", "train",
                     (json_int_t)d->split_begin[LCF_VALID], "valid",
                     (json_int_t)(lcf_dataset_split_n(d, LCF_VALID)), "test",
                     (json_int_t)(lcf_dataset_split_n(d, LCF_TEST)));
}

static lcf_status write_predictions(void *arg, const char *dir, lcf_err *err)
{
    const run *r = arg;
    const size_t n = r->options->seeds_n;
    lcf_status status =
        train_predictions_save(dir, r->results, n, &r->inputs.dataset, LCF_VALID, err);

    if (!status)
        status = train_predictions_save(dir, r->results, n, &r->inputs.dataset, LCF_TEST, err);
    return status;
}

/* ---- together ---- */

static void run_dispose(run *r)
{
    for (size_t i = 0; r->results && i < r->options->seeds_n; i++)
        train_result_dispose(&r->results[i]);
    free(r->results);
    free(r->planned);
    if (r->inputs.labels)
        train_inputs_close(&r->inputs);
    pthread_mutex_destroy(&r->lock);
}

lcf_status lcf_train(json_t **report, bool *current, const lcf_train_options *options, lcf_err *err)
{
    run r = {.options = options};
    const seed_runs runs = {"train",
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
                            make_report,
                            best_seed,
                            write_predictions};
    json_t *made = NULL;
    bool same = false;
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
    if (report)
        *report = json_incref(made);
    json_decref(made);
    return status;
}
