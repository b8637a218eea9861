/* Results of seeds: kept while others still train, collected into predictions and the report. */
#include "offline/train/results.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/data/predictions.h"
#include "offline/train/seed_file.h"
#include "offline/train/seed_runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one seed ---- */

static lcf_status put_real(json_t *object, const char *name, double value)
{
    return json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null())
               ? LCF_ENOMEM
               : LCF_OK;
}

static json_t *epoch_json(const train_epoch *e)
{
    json_t *object = json_object();

    if (!object || put_real(object, "loss", e->loss) || put_real(object, "rec_loss", e->rec_loss) ||
        put_real(object, "valid_auc", e->valid_auc)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *train_result_json(const train_result *r, bool with_times)
{
    json_t *object = json_object(), *epochs = json_array();
    int failed = !object || !epochs;

    for (uint32_t i = 0; i < r->epochs_n && !failed; i++)
        failed |= json_array_append_new(epochs, epoch_json(&r->epochs[i]));
    failed |= json_object_set_new(object, "epochs", epochs);
    failed |= json_object_set_new(object, "seed", json_integer((json_int_t)r->seed));
    failed |= json_object_set_new(object, "best_epoch", json_integer(r->best_epoch));
    failed = failed || put_real(object, "valid_auc", r->valid_auc) ||
             put_real(object, "valid_logloss", r->valid_logloss) ||
             put_real(object, "test_auc", r->test_auc) ||
             put_real(object, "test_logloss", r->test_logloss);
    if (with_times)
        failed = failed || put_real(object, "seconds", r->seconds) ||
                 put_real(object, "samples_per_s", r->samples_per_s) ||
                 put_real(object, "seconds_per_1000_rows", r->seconds_per_1000_rows);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static lcf_status read_epochs(train_result *r, const json_t *epochs, lcf_err *err)
{
    const size_t n = json_array_size(epochs);
    lcf_status status = LCF_OK;

    if (!n || n > LCF_TRAIN_EPOCHS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu epochs", n);
    r->epochs_n = (uint32_t)n;
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *e = json_array_get(epochs, i);

        r->epochs[i].rec_loss = NAN;
        if (!json_is_null(json_object_get(e, "rec_loss")))
            status = lcf_json_f64(&r->epochs[i].rec_loss, e, "rec_loss", err);
        if (!status)
            status = lcf_json_f64(&r->epochs[i].loss, e, "loss", err);
        if (!status)
            status = lcf_json_f64(&r->epochs[i].valid_auc, e, "valid_auc", err);
    }
    return status;
}

static lcf_status read_report(train_result *r, const json_t *json, lcf_err *err)
{
    const struct {
        const char *name;
        double *out;
    } reals[] = {
        {"valid_auc", &r->valid_auc},
        {"valid_logloss", &r->valid_logloss},
        {"test_auc", &r->test_auc},
        {"test_logloss", &r->test_logloss},
        {"samples_per_s", &r->samples_per_s},
        {"seconds", &r->seconds},
        {"seconds_per_1000_rows", &r->seconds_per_1000_rows},
    };
    uint64_t best_epoch;
    lcf_status status = read_epochs(r, json_object_get(json, "epochs"), err);

    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]) && !status; i++)
        status = lcf_json_f64(reals[i].out, json, reals[i].name, err);
    if (!status)
        status = lcf_json_u64(&best_epoch, json, "best_epoch", err);
    if (!status && (!best_epoch || best_epoch > r->epochs_n))
        status = LCF_FAIL(err, LCF_EFORMAT, "best_epoch is out of range");
    if (!status)
        r->best_epoch = (uint32_t)best_epoch;
    return status;
}

static seed_file file_of(const lcf_dataset *d)
{
    return (seed_file){"train-result", 2, LCF_F32, lcf_dataset_split_n(d, LCF_VALID),
                       lcf_dataset_split_n(d, LCF_TEST)};
}

lcf_status train_result_save(const train_result *r, const lcf_ranker *ranker, const char *dir,
                             const lcf_dataset *d, lcf_err *err)
{
    const seed_file file = file_of(d);
    char *weights = seed_runs_path(dir, r->seed, ".lcf");
    lcf_status status = weights ? lcf_ranker_save(ranker, weights, err)
                                : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status =
            seed_file_save(&file, dir, r->seed, train_result_json(r, true), r->valid, r->test, err);
    free(weights);
    return status;
}

/* The weights must be whole, too. */
static lcf_status check_weights(const char *dir, uint64_t seed, lcf_err *err)
{
    char *path = seed_runs_path(dir, seed, ".lcf");
    lcf_ranker *ranker = NULL;
    lcf_status status =
        path ? lcf_ranker_open(&ranker, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    lcf_ranker_free(ranker);
    free(path);
    return status;
}

lcf_status train_result_load(train_result *r, const char *dir, uint64_t seed, const lcf_dataset *d,
                             lcf_err *err)
{
    const seed_file file = file_of(d);
    json_t *report = NULL;
    void *valid, *test;
    lcf_status status = seed_file_load(&report, &valid, &test, &file, dir, seed, err);

    *r = (train_result){.seed = seed, .valid = valid, .test = test};
    if (!status)
        status = read_report(r, report, err);
    if (!status)
        status = check_weights(dir, seed, err);
    if (status)
        train_result_dispose(r);
    json_decref(report);
    return status;
}

/* ---- all seeds ---- */

static void fill_predictions(lcf_predictions *p, uint64_t *row, uint64_t *seeds, float *scores,
                             const train_result *results, const lcf_dataset *d, lcf_split split)
{
    const size_t begin = d->split_begin[split];

    for (size_t i = 0; i < p->rows_n; i++)
        row[i] = begin + i;
    for (size_t s = 0; s < p->seeds_n; s++) {
        const train_result *r = &results[s];

        seeds[s] = r->seed;
        memcpy(scores + s * p->rows_n, split == LCF_VALID ? r->valid : r->test,
               p->rows_n * sizeof(*scores));
    }
    p->row = row;
    p->seeds = seeds;
    p->scores = scores;
    p->user = d->sample_user + begin;
    p->label = d->sample_label + begin;
}

lcf_status train_predictions_save(const char *dir, const train_result *results, size_t results_n,
                                  const lcf_dataset *d, lcf_split split, lcf_err *err)
{
    lcf_predictions p = {.rows_n = lcf_dataset_split_n(d, split), .seeds_n = results_n};
    uint64_t *row = lcf_alloc(p.rows_n, sizeof(*row)),
             *seeds = lcf_alloc(results_n, sizeof(*seeds));
    float *scores = lcf_alloc(p.rows_n * results_n, sizeof(*scores));
    char *path = lcf_path_join(dir, split == LCF_VALID ? "valid.lcf" : "test.lcf");
    lcf_status status;

    if (!row || !seeds || !scores || !path) {
        status =
            LCF_FAIL(err, LCF_ENOMEM, "predictions of %zu rows by %zu seeds", p.rows_n, results_n);
    } else {
        fill_predictions(&p, row, seeds, scores, results, d, split);
        status = lcf_predictions_save(path, &p, err);
    }
    free(row);
    free(seeds);
    free(scores);
    free(path);
    return status;
}
