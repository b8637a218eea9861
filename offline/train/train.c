/* The train step: its options and report, and what seed_runs.h asks of a training step. */
#include "offline/train/train.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/model/codes.h"
#include "offline/train/results.h"
#include "offline/train/seed_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- options and identity ---- */

static lcf_status check_parts(const lcf_train_options *o, lcf_err *err)
{
    const side_dirs dirs = train_side_dirs(o);

    if (!lcf_ranker_has_backbone(o->backbone) || !lcf_ranker_has_side(o->side))
        return LCF_FAIL(err, LCF_EINVAL, "there is no backbone %s or no side module %s",
                        o->backbone, o->side);
    return side_dirs_check(&dirs, o->side, lcf_ranker_side_needs(o->side), err);
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

static json_t *real_if(bool there, double value)
{
    return there ? json_real(value) : json_null();
}

static json_t *whole_if(bool there, uint32_t value)
{
    return there ? json_integer(value) : json_null();
}

/* Parameters as JSON; what does not apply to the model that is asked for is null. */
static json_t *params_json(const lcf_train_options *o)
{
    const lcf_train_params *p = &o->params;
    const bool codes = lcf_ranker_has_codes(o->backbone);

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:s, s:s, s:b, s:b, s:s?,"
        " s:o, s:o, s:o, s:o, s:o, s:s?}",
        "epochs", (json_int_t)p->epochs_max, "batch", (json_int_t)p->batch, "patience",
        (json_int_t)p->patience, "dim", (json_int_t)p->dim, "lr", p->learning_rate, "weight_decay",
        p->weight_decay, "dropout", p->dropout, "rec_weight", p->rec_weight, "plateau", p->plateau,
        "clip", p->clip, "distill_weight", o->judged_dir ? o->distill_weight : 0.0, "order",
        lcf_example_order_name(o->order), "decay", p->decoupled ? "decoupled" : "l2",
        "table_updates", p->sparse_tables ? "sparse" : "dense", "warm_start", o->init_dir != NULL,
        "history_labels", o->history_labels, "norm", o->head_norm ? "batch" : NULL, "side_lr",
        real_if(p->side_learning_rate > 0.0, p->side_learning_rate), "ema",
        real_if(p->ema > 0.0, p->ema), "graph_layers",
        whole_if(lcf_ranker_takes_graph(o->backbone), p->graph_layers_n), "code_scale",
        real_if(codes, p->code_scale), "soft_epochs", whole_if(codes, p->soft_epochs), "precision",
        p->precision == LCF_PRECISION_BF16 ? "bf16" : NULL);
}

/* The report's parameters, less those that change nothing here. */
static lcf_status describe_params(lcf_manifest *m, const lcf_train_options *o, lcf_err *err)
{
    const lcf_train_params published = LCF_TRAIN_PARAMS_INIT;
    const struct {
        const char *name;
        bool counts;
    } rules[] = {{"warm_start", false}, /* its folders are inputs */
                 {"dim", o->params.dim != published.dim},
                 {"rec_weight", strcmp(o->side, lcf_ranker_side(0)->name) != 0},
                 {"order", lcf_ranker_side_needs(o->side) & LCF_RANKER_EXAMPLES},
                 {"history_labels", o->history_labels},
                 {"distill_weight", o->judged_dir != NULL}};
    json_t *params = params_json(o);
    lcf_status status = lcf_manifest_param_str(m, "backbone", o->backbone, err);

    if (!status)
        status = lcf_manifest_param_str(m, "side", o->side, err);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (!rules[i].counts)
            json_object_del(params, rules[i].name);
    if (!status)
        return lcf_manifest_params(m, params, err);
    json_decref(params);
    return status;
}

/* ---- the run ---- */

typedef struct run {
    const lcf_train_options *options;
    train_inputs inputs;
    train_result *results; /* [seeds_n], in the order of the options */
} run;

static lcf_status describe(lcf_manifest *m, void *arg, lcf_err *err)
{
    const lcf_train_options *o = ((const run *)arg)->options;
    const side_dirs dirs = train_side_dirs(o);
    const lcf_input inputs[] = {{"dataset", o->dataset_dir},
                                {"judged", o->judged_dir},
                                {"init", o->init_dir},
                                {"init_dataset", o->init_dir ? o->init_dataset_dir : NULL},
                                {NULL, NULL}};
    lcf_status status = describe_params(m, o, err);

    if (!status)
        status = lcf_manifest_inputs(m, inputs, err);
    return status ? status : side_dirs_describe(m, &dirs, lcf_ranker_side_needs(o->side), err);
}

static lcf_status open_inputs(uint64_t *epoch_rows, void *arg, lcf_err *err)
{
    run *r = arg;
    lcf_status status = train_inputs_open(&r->inputs, r->options, err);

    *epoch_rows = r->inputs.dataset.split_begin[LCF_VALID];
    return status;
}

static lcf_status load(void *arg, size_t idx, const char *dir, lcf_err *err)
{
    run *r = arg;

    return train_result_load(&r->results[idx], dir, r->options->seeds[idx], &r->inputs.dataset,
                             err);
}

/* ---- training ---- */

/* A seed that is being trained. */
typedef struct training {
    const run *run;
    size_t idx;
    seed_progress *progress;
} training;

static void on_step(void *arg, size_t rows)
{
    seed_progress_step(((const training *)arg)->progress, rows);
}

static void on_epoch(void *arg, const train_result *so_far)
{
    const train_epoch *e = &so_far->epochs[so_far->epochs_n - 1];
    const training *t = arg;
    const run *r = t->run;

    seed_progress_epoch(t->progress, t->idx, so_far->best_epoch,
                        "seed %llu epoch %u loss %.4f valid AUC %.4f",
                        (unsigned long long)so_far->seed, so_far->epochs_n, e->loss, e->valid_auc);
    lcf_log(LCF_LOG_INFO,
            "msg=\"epoch\" backbone=%s side=%s seed=%llu epoch=%u loss=%.5f valid_auc=%.5f "
            "samples_per_s=%.0f",
            r->options->backbone, r->options->side, (unsigned long long)so_far->seed,
            so_far->epochs_n, e->loss, e->valid_auc,
            (double)r->inputs.dataset.split_begin[LCF_VALID] * so_far->epochs_n /
                (so_far->seconds > 0.0 ? so_far->seconds : 1.0));
}

static lcf_status train(void *arg, size_t idx, size_t threads, const char *dir,
                        seed_progress *progress, lcf_err *err)
{
    run *r = arg;
    training t = {r, idx, progress};
    const train_watch watch = {on_step, on_epoch, &t};
    lcf_ranker *ranker = NULL;
    lcf_status status = train_seed(&ranker, &r->results[idx], &r->inputs, &r->options->params,
                                   r->options->seeds[idx], threads, dir, &watch, err);

    if (!status)
        status = train_result_save(&r->results[idx], ranker, dir, &r->inputs.dataset, err);
    lcf_ranker_free(ranker);
    return status;
}

/* ---- the artefact ---- */

static double valid_auc(void *arg, size_t idx)
{
    return ((const run *)arg)->results[idx].valid_auc;
}

static json_t *seed_report(void *arg, size_t idx, bool with_times)
{
    return train_result_json(&((const run *)arg)->results[idx], with_times);
}

static json_t *report(void *arg)
{
    const run *r = arg;
    const lcf_train_options *o = r->options;
    const lcf_dataset *d = &r->inputs.dataset;
    json_t *all =
        json_pack("{s:i, s:s, s:s, s:o, s:{s:I, s:I, s:I}}", "version", 2, "backbone", o->backbone,
                  "side", o->side, "params", lcf_json_without_nulls(params_json(o)), "rows",
                  "train", (json_int_t)lcf_dataset_split_n(d, LCF_TRAIN), "valid",
                  (json_int_t)lcf_dataset_split_n(d, LCF_VALID), "test",
                  (json_int_t)lcf_dataset_split_n(d, LCF_TEST));

    if (!json_object_update_new(all, train_results_summary(r->results, o->seeds_n)))
        return all;
    json_decref(all);
    return NULL;
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
    if (r->inputs.labels)
        train_inputs_close(&r->inputs);
}

lcf_status lcf_train(json_t **out, bool *current, const lcf_train_options *o, lcf_err *err)
{
    run r = {.options = o};
    const seed_runs runs = {.verb = "train",
                            .out_dir = o->out_dir,
                            .seeds = o->seeds,
                            .seeds_n = o->seeds_n,
                            .threads = o->threads,
                            .force = o->force,
                            .epochs_max = o->params.epochs_max,
                            .patience = o->params.patience,
                            .arg = &r,
                            .describe = describe,
                            .open = open_inputs,
                            .load = load,
                            .train = train,
                            .worth = valid_auc,
                            .seed_report = seed_report,
                            .report = report,
                            .write = write_predictions};
    lcf_status status = check_options(o, err);

    if (status)
        return status;
    r.results = lcf_alloc_zero(o->seeds_n, sizeof(*r.results));
    status = r.results ? seed_runs_make(out, current, &runs, err)
                       : LCF_FAIL(err, LCF_ENOMEM, "results of %zu seeds", o->seeds_n);
    run_dispose(&r);
    return status;
}
