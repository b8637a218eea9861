/* Artefacts of several seeds: see seed_runs.h. */
#include "offline/train/seed_runs.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/partial.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/eval/stats.h"
#include "offline/train/train.h"

#include <stdlib.h>
#include <string.h>

char *seed_runs_path(const char *dir, uint64_t seed, const char *suffix)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/seed-%llu%s", dir, (unsigned long long)seed, suffix);
    return lcf_buf_take(&path);
}

lcf_status lcf_train_check_seeds(const uint64_t *seeds, size_t seeds_n, lcf_err *err)
{
    if (!seeds_n || seeds_n > LCF_TRAIN_SEEDS_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu seeds, not 1 to %d", seeds_n, LCF_TRAIN_SEEDS_MAX);
    for (size_t i = 0; i < seeds_n; i++)
        for (size_t j = 0; j < i; j++)
            if (seeds[i] == seeds[j])
                return LCF_FAIL(err, LCF_EUSAGE, "seed %llu is given twice: one run is no two",
                                (unsigned long long)seeds[i]);
    return LCF_OK;
}

/* ---- identity ---- */

lcf_status lcf_train_describe_seeds(lcf_manifest *m, const uint64_t *seeds, size_t seeds_n,
                                    lcf_err *err)
{
    lcf_buf list = LCF_BUF_INIT;
    lcf_status status;

    for (size_t i = 0; i < seeds_n; i++)
        lcf_buf_printf(&list, "%s%llu", i ? "," : "", (unsigned long long)seeds[i]);
    status = list.status ? LCF_FAIL(err, list.status, "list of seeds")
                         : lcf_manifest_param_str(m, "seeds", lcf_buf_text(&list), err);
    lcf_buf_dispose(&list);
    return status;
}

/* What the artefact is made from; a partial folder is the same whatever seeds are asked for. */
static lcf_status describe(lcf_manifest **out, const seed_runs *r, bool with_seeds, lcf_err *err)
{
    lcf_status status = lcf_manifest_create(out, r->verb, err);

    if (!status)
        status = r->describe(*out, r->arg, err);
    if (!status && with_seeds)
        status = lcf_train_describe_seeds(*out, r->seeds, r->seeds_n, err);
    if (status) {
        lcf_manifest_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- seeds ---- */

typedef struct work {
    const seed_runs *runs;
    lcf_partial *partial;
    size_t *missing; /* [missing_n] indices of seeds to train */
    size_t missing_n;
    size_t missing_at, seed_threads; /* the seeds at hand begin here; threads that each has */
    uint64_t epoch_rows;
    seed_progress progress;
} work;

static lcf_status open_partial(work *w, lcf_err *err)
{
    lcf_manifest *m = NULL;
    lcf_status status = describe(&m, w->runs, false, err);

    if (!status)
        status = lcf_partial_open(&w->partial, w->runs->out_dir, m, w->runs->force, err);
    lcf_manifest_free(m);
    return status;
}

static lcf_status find_missing(work *w, lcf_err *err)
{
    const seed_runs *r = w->runs;

    for (size_t i = 0; i < r->seeds_n; i++) {
        lcf_err why = LCF_ERR_INIT;
        lcf_status status = r->load(r->arg, i, lcf_partial_path(w->partial), &why);

        if (status == LCF_ENOMEM)
            return LCF_FAIL(err, status, "%s", why.text);
        if (status)
            w->missing[w->missing_n++] = i;
        if (status && status != LCF_ENOENT)
            lcf_log(LCF_LOG_WARN,
                    "msg=\"a kept seed cannot be used and is trained again\" why=\"%s\"", why.text);
        if (!status)
            lcf_log(LCF_LOG_INFO, "msg=\"seed kept from an earlier run\" seed=%llu",
                    (unsigned long long)r->seeds[i]);
    }
    return LCF_OK;
}

static lcf_status train_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    work *w = arg;

    (void)worker;
    return w->runs->train(w->runs->arg, w->missing[w->missing_at + task], w->seed_threads,
                          lcf_partial_path(w->partial), &w->progress, err);
}

/* Seeds [first, first + n) of those missing, as many at a time as there are threads. */
static lcf_status train_some(work *w, size_t first, size_t n, size_t threads, lcf_err *err)
{
    const size_t at_once = threads < n ? threads : n;
    lcf_pool *pool = NULL;
    lcf_status status;

    if (!n)
        return LCF_OK;
    status = lcf_pool_create(&pool, at_once, err);
    if (status)
        return status;
    w->missing_at = first;
    w->seed_threads = threads / at_once;
    status = lcf_pool_run(pool, n, train_task, w, err);
    lcf_pool_free(pool);
    return status;
}

/* A seed a thread while there are enough seeds; the last few share the threads. */
static lcf_status train_missing(work *w, lcf_err *err)
{
    const seed_runs *r = w->runs;
    const size_t threads = r->threads ? r->threads : lcf_processors();
    const size_t alone = w->missing_n / threads * threads;
    lcf_status status;

    if (!w->missing_n)
        return LCF_OK;
    seed_progress_start(&w->progress, r->verb, w->epoch_rows, r->epochs_max, r->patience,
                        w->missing, w->missing_n);
    status = train_some(w, 0, alone, threads, err);
    if (!status)
        status = train_some(w, alone, w->missing_n - alone, threads, err);
    seed_progress_end(&w->progress);
    return status;
}

/* ---- the artefact ---- */

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

static size_t best_seed(const seed_runs *r)
{
    size_t best = 0;

    for (size_t i = 1; i < r->seeds_n; i++)
        if (r->worth(r->arg, i) > r->worth(r->arg, best))
            best = i;
    return best;
}

/* Weights of every seed, and of the best one under its own name. */
static lcf_status copy_weights(const work *w, const char *dir, lcf_err *err)
{
    const size_t best = best_seed(w->runs);
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < w->runs->seeds_n && !status; i++) {
        char *from = seed_runs_path(lcf_partial_path(w->partial), w->runs->seeds[i], ".lcf");
        char *to = seed_runs_path(dir, w->runs->seeds[i], ".lcf");
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

json_t *seed_runs_spread(const double *values, size_t n)
{
    return json_pack("{s:f, s:o}", "mean", lcf_stats_mean(values, n), "sd",
                     n < 2 ? json_null() : json_real(lcf_stats_std(values, n)));
}

static lcf_status make_report(json_t **out, const seed_runs *r, bool with_times, lcf_err *err)
{
    json_t *report = r->report(r->arg), *seeds = json_array();
    int failed = !report || !seeds;

    for (size_t i = 0; i < r->seeds_n; i++)
        failed |= json_array_append_new(seeds, r->seed_report(r->arg, i, with_times));
    failed |= json_object_set_new(report, "seeds", seeds);
    failed |=
        json_object_set_new(report, "best_seed", json_integer((json_int_t)r->seeds[best_seed(r)]));
    if (failed) {
        json_decref(report);
        return LCF_FAIL(err, LCF_ENOMEM, "report of %s", r->out_dir);
    }
    *out = report;
    return LCF_OK;
}

static lcf_status write_report(const work *w, const char *dir, lcf_err *err)
{
    json_t *report = NULL;
    lcf_status status = make_report(&report, w->runs, false, err);

    if (!status)
        status = lcf_json_save_in(dir, "report.json", report, err);
    json_decref(report);
    return status;
}

/* Makes OUT appear, whole, with `report` among the manifest's statistics. */
static lcf_status write_artefact(const work *w, lcf_manifest *m, json_t *report, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_manifest_stat(m, "report", json_incref(report), err);

    if (!status)
        status = lcf_stage_open(&stage, w->runs->out_dir, err);
    if (!status)
        status = copy_weights(w, lcf_stage_path(stage), err);
    if (!status)
        status = w->runs->write(w->runs->arg, lcf_stage_path(stage), err);
    if (!status)
        status = write_report(w, lcf_stage_path(stage), err);
    status = lcf_manifest_finish(m, stage, status, err);
    return status ? status : lcf_partial_remove(w->partial, err);
}

/* ---- together ---- */

static lcf_status make(json_t **report, lcf_manifest *m, const seed_runs *runs, lcf_err *err)
{
    work w = {.runs = runs};
    lcf_status status = runs->open(&w.epoch_rows, runs->arg, err);

    w.missing = lcf_alloc(runs->seeds_n, sizeof(*w.missing));
    if (!status && !w.missing)
        status = LCF_FAIL(err, LCF_ENOMEM, "list of %zu seeds", runs->seeds_n);
    if (!status)
        status = open_partial(&w, err);
    if (!status)
        status = find_missing(&w, err);
    if (!status)
        status = train_missing(&w, err);
    if (!status)
        status = make_report(report, runs, true, err);
    if (!status)
        status = write_artefact(&w, m, *report, err);
    lcf_partial_close(w.partial);
    free(w.missing);
    return status;
}

lcf_status seed_runs_make(json_t **report, bool *current, const seed_runs *runs, lcf_err *err)
{
    lcf_manifest *m = NULL;
    json_t *made = NULL;
    lcf_status status = describe(&m, runs, true, err);
    const bool same = !status && !runs->force && lcf_manifest_is_current(m, runs->out_dir);

    if (same)
        status = lcf_manifest_read_stat(&made, runs->out_dir, "report", err);
    else if (!status)
        status = make(&made, m, runs, err);
    lcf_manifest_free(m);
    if (current)
        *current = same;
    if (report)
        *report = status ? NULL : json_incref(made);
    json_decref(made);
    return status;
}
