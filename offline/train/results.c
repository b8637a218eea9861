/* Results of seeds: kept while others still train, collected into predictions and the report. */
#include "offline/train/results.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/data/predictions.h"
#include "offline/train/seed_fields.h"
#include "offline/train/seed_file.h"
#include "offline/train/seed_runs.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- one seed ---- */

#define EPOCH(name) #name, offsetof(train_epoch, name)
#define RESULT(name) #name, offsetof(train_result, name)

static const seed_field EPOCHS[] = {
    {EPOCH(loss), false}, {EPOCH(rec_loss), true}, {EPOCH(valid_auc), false}, {NULL, 0, false}};
static const seed_field MEASURES[] = {{RESULT(valid_auc), false},
                                      {RESULT(valid_logloss), false},
                                      {RESULT(test_auc), false},
                                      {RESULT(test_logloss), false},
                                      {NULL, 0, false}};
static const seed_field TIMES[] = {{RESULT(seconds), false},
                                   {RESULT(samples_per_s), false},
                                   {RESULT(seconds_per_1000_rows), false},
                                   {NULL, 0, false}};

json_t *train_result_json(const train_result *r, bool with_times)
{
    json_t *object = json_pack(
        "{s:I, s:I, s:o}", "seed", (json_int_t)r->seed, "best_epoch", (json_int_t)r->best_epoch,
        "epochs", seed_epochs_json(r->epochs, sizeof(r->epochs[0]), EPOCHS, r->epochs_n));

    if (seed_fields_put(object, MEASURES, r) && (!with_times || seed_fields_put(object, TIMES, r)))
        return object;
    json_decref(object);
    return NULL;
}

json_t *train_results_summary(const train_result *results, size_t n)
{
    json_t *object = json_object();
    double values[LCF_TRAIN_SEEDS_MAX];
    int failed = !object;

    LCF_ASSERT(n <= LCF_TRAIN_SEEDS_MAX);
    for (const seed_field *f = MEASURES; f->name; f++) {
        for (size_t i = 0; i < n; i++)
            values[i] = *(const double *)((const char *)&results[i] + f->offset);
        failed |= json_object_set_new(object, f->name, seed_runs_spread(values, n));
    }
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static lcf_status read_report(train_result *r, const json_t *json, lcf_err *err)
{
    lcf_status status = seed_epochs_get(r->epochs, &r->epochs_n, &r->best_epoch,
                                        sizeof(r->epochs[0]), EPOCHS, json, err);

    if (!status)
        status = seed_fields_get(r, MEASURES, json, err);
    return status ? status : seed_fields_get(r, TIMES, json, err);
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
