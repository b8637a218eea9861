/*
 * The train step: which seeds are missing, training them on a few threads, and putting the artefact
 * together once all are there.
 *
 * Invariant: OUT.partial holds seeds of the same inputs and options only; its manifest says which.
 */
#include "offline/train/train.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/train/results.h"

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

    if (!o->seeds_n || o->seeds_n > LCF_TRAIN_SEEDS_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu seeds, not 1 to %d", o->seeds_n, LCF_TRAIN_SEEDS_MAX);
    for (size_t i = 0; i < o->seeds_n; i++)
        for (size_t j = 0; j < i; j++)
            if (o->seeds[i] == o->seeds[j])
                return LCF_FAIL(err, LCF_EINVAL, "seed %llu is given twice",
                                (unsigned long long)o->seeds[i]);
    if (!p->epochs_max || p->epochs_max > LCF_TRAIN_EPOCHS_MAX || !p->batch || !p->patience)
        return LCF_FAIL(err, LCF_EINVAL, "epochs (1 to %d), batch and patience must be at least 1",
                        LCF_TRAIN_EPOCHS_MAX);
    if (!(p->learning_rate > 0.0 && p->learning_rate < INFINITY) ||
        !(p->weight_decay >= 0.0 && p->weight_decay < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "learning rate %g or weight decay %g is out of range",
                        p->learning_rate, p->weight_decay);
    if (!(p->plateau > 0.0 && p->plateau <= 1.0) || !(p->clip >= 0.0 && p->clip < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "plateau %g or clip %g is out of range", p->plateau,
                        p->clip);
    if (!o->init_dir != !o->init_dataset_dir)
        return LCF_FAIL(err, LCF_EINVAL,
                        "a warm start needs both an earlier ranker and its dataset");
    if (o->judged_dir && !(o->distill_weight > 0.0 && o->distill_weight < INFINITY))
        return LCF_FAIL(err, LCF_EINVAL, "a distillation of weight %g", o->distill_weight);
    return check_parts(o, err);
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
    const bool alone = !strcmp(o->side, lcf_ranker_side(0)->name);
    lcf_status status = lcf_manifest_param_str(m, "backbone", o->backbone, err);

    if (!status)
        status = lcf_manifest_param_str(m, "side", o->side, err);
    if (!status && lcf_ranker_side_needs(o->side) & LCF_RANKER_EXAMPLES)
        status = lcf_manifest_param_str(m, "order", lcf_example_order_name(o->order), err);
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

static lcf_status describe_seeds(lcf_manifest *m, const lcf_train_options *o, lcf_err *err)
{
    lcf_buf list = LCF_BUF_INIT;
    lcf_status status;

    for (size_t i = 0; i < o->seeds_n; i++)
        lcf_buf_printf(&list, "%s%llu", i ? "," : "", (unsigned long long)o->seeds[i]);
    status = list.status ? LCF_FAIL(err, list.status, "list of seeds")
                         : lcf_manifest_param_str(m, "seeds", lcf_buf_text(&list), err);
    lcf_buf_dispose(&list);
    return status;
}

/* What the artefact is made from; a partial folder is the same whatever seeds are asked for. */
static lcf_status describe(lcf_manifest **out, const lcf_train_options *o, bool with_seeds,
                           lcf_err *err)
{
    lcf_status status = lcf_manifest_create(out, "train", err);

    if (!status)
        status = describe_params(*out, o, err);
    if (!status)
        status = describe_inputs(*out, o, err);
    if (!status && with_seeds)
        status = describe_seeds(*out, o, err);
    if (status) {
        lcf_manifest_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- the run ---- */

typedef struct run {
    const lcf_train_options *options;
    train_inputs inputs;
    char *partial;         /* OUT.partial */
    train_result *results; /* [seeds_n], in the order of the options */
    size_t *missing;       /* [missing_n] indices of seeds to train */
    size_t missing_n;
    size_t missing_at, seed_threads; /* the seeds at hand begin here; threads that each has */
    pthread_mutex_t lock;            /* of what follows */
    lcf_progress progress;
    uint64_t rows_done;
    uint32_t *planned; /* [seeds_n] epochs that a seed takes at least, as far as is known */
} run;

/* Which seeds are there already; what cannot be used is trained again. */
static lcf_status find_missing(run *r, lcf_err *err)
{
    const lcf_train_options *o = r->options;

    for (size_t i = 0; i < o->seeds_n; i++) {
        lcf_err why = LCF_ERR_INIT;
        lcf_status status =
            train_result_load(&r->results[i], r->partial, o->seeds[i], &r->inputs.dataset, &why);

        if (status == LCF_ENOMEM)
            return LCF_FAIL(err, status, "%s", why.text);
        if (status)
            r->missing[r->missing_n++] = i;
        if (status && status != LCF_ENOENT)
            lcf_log(LCF_LOG_WARN,
                    "msg=\"a kept seed cannot be used and is trained again\" why=\"%s\"", why.text);
        if (!status)
            lcf_log(LCF_LOG_INFO, "msg=\"seed kept from an earlier run\" seed=%llu",
                    (unsigned long long)o->seeds[i]);
    }
    return LCF_OK;
}

/* Opens OUT.partial: the one of an earlier run of this identity, or an empty one. */
static lcf_status open_partial(run *r, lcf_err *err)
{
    lcf_manifest *m = NULL;
    lcf_status status = describe(&m, r->options, false, err);

    if (status)
        return status;
    if (r->options->force || !lcf_manifest_is_current(m, r->partial)) {
        status = lcf_dir_remove(r->partial, err);
        if (!status)
            status = lcf_dir_create(r->partial, err);
        if (!status)
            status = lcf_manifest_write(m, r->partial, err);
    }
    lcf_manifest_free(m);
    return status;
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

    for (size_t i = 0; i < r->missing_n; i++)
        epochs += r->planned[r->missing[i]];
    return epochs * r->inputs.dataset.split_begin[LCF_VALID];
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

static lcf_status train_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    run *r = arg;
    const size_t idx = r->missing[r->missing_at + task];
    const train_watch watch = {on_step, on_epoch, r};
    train_result *result = &r->results[idx];
    lcf_ranker *ranker = NULL;
    lcf_status status =
        train_seed(&ranker, result, &r->inputs, &r->options->params, r->options->seeds[idx],
                   r->seed_threads, r->partial, &watch, err);

    (void)worker;
    if (!status)
        status = train_result_save(result, ranker, r->partial, &r->inputs.dataset, err);
    lcf_ranker_free(ranker);
    return status;
}

/* Seeds [first, first + n) of those missing, as many at a time as there are threads. */
static lcf_status train_some(run *r, size_t first, size_t n, size_t threads, lcf_err *err)
{
    const size_t at_once = threads < n ? threads : n;
    lcf_pool *pool = NULL;
    lcf_status status;

    if (!n)
        return LCF_OK;
    status = lcf_pool_create(&pool, at_once, err);
    if (status)
        return status;
    r->missing_at = first;
    r->seed_threads = threads / at_once;
    status = lcf_pool_run(pool, n, train_task, r, err);
    lcf_pool_free(pool);
    return status;
}

/* A seed a thread while there are enough seeds; the last few share the threads. */
static lcf_status train_missing(run *r, lcf_err *err)
{
    const size_t threads = r->options->threads ? r->options->threads : lcf_processors();
    const size_t alone = r->missing_n / threads * threads;
    lcf_status status;

    if (!r->missing_n)
        return LCF_OK;
    for (size_t i = 0; i < r->options->seeds_n; i++)
        r->planned[i] = min_epochs(&r->options->params, 1 + r->options->params.patience);
    lcf_progress_start(&r->progress, "train", "rows", planned_rows(r));
    status = train_some(r, 0, alone, threads, err);
    if (!status)
        status = train_some(r, alone, r->missing_n - alone, threads, err);
    lcf_progress_end(&r->progress);
    return status;
}

/* ---- the artefact ---- */

static size_t best_seed(const run *r)
{
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
    double mean = 0.0, square = 0.0;

    for (size_t i = 0; i < n; i++)
        mean += *(const double *)((const char *)&r->results[i] + field) / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double d = *(const double *)((const char *)&r->results[i] + field) - mean;
        square += d * d;
    }
    if (n < 2)
        return json_pack("{s:f, s:n}", "mean", mean, "sd");
    return json_pack("{s:f, s:f}", "mean", mean, "sd", sqrt(square / (double)(n - 1)));
}

static json_t *params_json(const lcf_train_options *o)
{
    const lcf_train_params *p = &o->params;

    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:f, s:f, s:f, s:s, s:s, s:b}",
                     "epochs", (json_int_t)p->epochs_max, "batch", (json_int_t)p->batch, "patience",
                     (json_int_t)p->patience, "lr", p->learning_rate, "weight_decay",
                     p->weight_decay, "dropout", p->dropout, "rec_weight", p->rec_weight, "order",
                     lcf_example_order_name(o->order), "distill_weight",
                     o->judged_dir ? o->distill_weight : 0.0, "plateau", p->plateau, "clip",
                     p->clip, "decay", decay_name(p), "table_updates", table_updates_name(p),
                     "warm_start", o->init_dir != NULL);
}

/* The report; times are for people and never part of the artefact's identity. */
static lcf_status make_report(json_t **out, const run *r, bool with_times, lcf_err *err)
{
    const lcf_train_options *o = r->options;
    const lcf_dataset *d = &r->inputs.dataset;
    json_t *seeds = json_array();
    int failed = !seeds;

    for (size_t i = 0; i < o->seeds_n; i++)
        failed |= json_array_append_new(seeds, train_result_json(&r->results[i], with_times));
    *out = json_pack("{s:i, s:s, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I, s:I}}",
                     "version", 2, "backbone", o->backbone, "side", o->side, "params",
                     params_json(o), "best_seed", (json_int_t)r->results[best_seed(r)].seed,
                     "seeds", seeds, "valid_auc", summary(r, offsetof(train_result, valid_auc)),
                     "valid_logloss", summary(r, offsetof(train_result, valid_logloss)), "test_auc",
                     summary(r, offsetof(train_result, test_auc)), "test_logloss",
                     summary(r, offsetof(train_result, test_logloss)), "rows", "train",
                     (json_int_t)d->split_begin[LCF_VALID], "valid",
                     (json_int_t)(d->split_begin[LCF_TEST] - d->split_begin[LCF_VALID]), "test",
                     (json_int_t)(d->split_begin[3] - d->split_begin[LCF_TEST]));
    if (failed || !*out) {
        json_decref(*out);
        *out = NULL;
        return LCF_FAIL(err, LCF_ENOMEM, "report");
    }
    return LCF_OK;
}

static lcf_status copy_file(const char *to, const char *from, lcf_err *err)
{
    lcf_map map;
    lcf_status status = lcf_map_open(&map, from, err);

    if (status)
        return status;
    status = lcf_file_write(to, map.data, map.bytes_n, err);
    lcf_map_close(&map);
    return status;
}

/* Weights of every seed, and of the best one under its own name. */
static lcf_status copy_weights(const run *r, const char *dir, lcf_err *err)
{
    const size_t best = best_seed(r);
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->options->seeds_n && !status; i++) {
        char *from = train_seed_path(r->partial, r->options->seeds[i], ".lcf");
        char *to = train_seed_path(dir, r->options->seeds[i], ".lcf");
        char *best_path = lcf_path_join(dir, "best.lcf");

        if (!from || !to || !best_path)
            status = LCF_FAIL(err, LCF_ENOMEM, "paths in %s", dir);
        else
            status = copy_file(to, from, err);
        if (!status && i == best)
            status = copy_file(best_path, from, err);
        free(from);
        free(to);
        free(best_path);
    }
    return status;
}

static lcf_status write_report(const run *r, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "report.json");
    json_t *report = NULL;
    lcf_status status = make_report(&report, r, false, err);

    if (!status && !path)
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (!status)
        status = lcf_json_save(path, report, err);
    json_decref(report);
    free(path);
    return status;
}

static lcf_status write_files(const run *r, const char *dir, lcf_err *err)
{
    const lcf_train_options *o = r->options;
    lcf_status status = copy_weights(r, dir, err);

    if (!status)
        status =
            train_predictions_save(dir, r->results, o->seeds_n, &r->inputs.dataset, LCF_VALID, err);
    if (!status)
        status =
            train_predictions_save(dir, r->results, o->seeds_n, &r->inputs.dataset, LCF_TEST, err);
    if (!status)
        status = write_report(r, dir, err);
    return status;
}

/* Makes OUT appear, whole, with `report` among the manifest's statistics. */
static lcf_status write_artefact(const run *r, lcf_manifest *m, json_t *report, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_manifest_stat(m, "report", json_incref(report), err);

    if (!status)
        status = lcf_stage_open(&stage, r->options->out_dir, err);
    if (!status)
        status = write_files(r, lcf_stage_path(stage), err);
    if (!status)
        status = lcf_manifest_write(m, lcf_stage_path(stage), err);
    if (status) {
        lcf_stage_abandon(stage);
        return status;
    }
    status = lcf_stage_commit(stage, err);
    if (!status)
        status = lcf_dir_remove(r->partial, err);
    return status;
}

/* ---- together ---- */

static lcf_status run_init(run *r, const lcf_train_options *o, lcf_err *err)
{
    lcf_buf partial = LCF_BUF_INIT;

    memset(r, 0, sizeof(*r));
    r->options = o;
    pthread_mutex_init(&r->lock, NULL);
    lcf_buf_printf(&partial, "%s.partial", o->out_dir);
    r->partial = lcf_buf_take(&partial);
    r->results = lcf_alloc_zero(o->seeds_n, sizeof(*r->results));
    r->missing = lcf_alloc(o->seeds_n, sizeof(*r->missing));
    r->planned = lcf_alloc(o->seeds_n, sizeof(*r->planned));
    if (!r->partial || !r->results || !r->missing || !r->planned)
        return LCF_FAIL(err, LCF_ENOMEM, "results of %zu seeds", o->seeds_n);
    return train_inputs_open(&r->inputs, o, err);
}

static void run_dispose(run *r)
{
    for (size_t i = 0; r->results && i < r->options->seeds_n; i++)
        train_result_dispose(&r->results[i]);
    free(r->results);
    free(r->missing);
    free(r->planned);
    free(r->partial);
    if (r->inputs.rows)
        train_inputs_close(&r->inputs);
    pthread_mutex_destroy(&r->lock);
}

static lcf_status make(json_t **report, lcf_manifest *m, const lcf_train_options *o, lcf_err *err)
{
    lcf_status status;
    run r;

    status = run_init(&r, o, err);
    if (!status)
        status = open_partial(&r, err);
    if (!status)
        status = find_missing(&r, err);
    if (!status)
        status = train_missing(&r, err);
    if (!status)
        status = make_report(report, &r, true, err);
    if (!status)
        status = write_artefact(&r, m, *report, err);
    run_dispose(&r);
    return status;
}

/* The report of an artefact that is up to date. */
static lcf_status read_report(json_t **report, const char *dir, lcf_err *err)
{
    json_t *manifest = NULL;
    char id[65];
    lcf_status status = lcf_manifest_read(id, &manifest, dir, err);

    if (!status)
        *report = json_incref(json_object_get(json_object_get(manifest, "stats"), "report"));
    json_decref(manifest);
    return status;
}

lcf_status lcf_train(json_t **report, bool *current, const lcf_train_options *options, lcf_err *err)
{
    lcf_manifest *m = NULL;
    json_t *made = NULL;
    bool same = false;
    lcf_status status = check_options(options, err);

    if (!status)
        status = describe(&m, options, true, err);
    if (!status) {
        same = !options->force && lcf_manifest_is_current(m, options->out_dir);
        status = same ? read_report(&made, options->out_dir, err) : make(&made, m, options, err);
    }
    lcf_manifest_free(m);
    if (current)
        *current = same;
    if (report)
        *report = status ? NULL : json_incref(made);
    json_decref(made);
    return status;
}
