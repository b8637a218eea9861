/* Results of next-item seeds: kept while others still train, collected into ranks and the report.
 */
#include "offline/train/next_results.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/data/ranks.h"
#include "offline/train/seed_fields.h"
#include "offline/train/seed_file.h"
#include "offline/train/seed_runs.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static json_t *measures_json(const uint32_t *ranks, size_t n)
{
    json_t *object = json_object();
    int failed = !object;

    for (int m = 0; m < LCF_RANK_MEASURES_N; m++)
        failed |= json_object_set_new(object, lcf_rank_measure_name((lcf_rank_measure)m),
                                      json_real(lcf_rank_mean((lcf_rank_measure)m, ranks, n)));
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static const seed_field EPOCHS[] = {{"loss", offsetof(next_epoch, loss), false},
                                    {"hr@10", offsetof(next_epoch, valid_hr10), false},
                                    {"ndcg@10", offsetof(next_epoch, valid_ndcg10), false},
                                    {NULL, 0, false}};
static const seed_field TIMES[] = {
    {"seconds", offsetof(next_result, seconds), false},
    {"questions_per_s", offsetof(next_result, questions_per_s), false},
    {NULL, 0, false}};

json_t *next_result_json(const next_result *r, const next_rows *rows, bool with_times)
{
    json_t *object =
        json_pack("{s:I, s:I, s:o, s:o, s:o}", "seed", (json_int_t)r->seed, "best_epoch",
                  (json_int_t)r->best_epoch, "epochs",
                  seed_epochs_json(r->epochs, sizeof(r->epochs[0]), EPOCHS, r->epochs_n), "valid",
                  measures_json(r->ranks[LCF_VALID], rows->rows_n[LCF_VALID]), "test",
                  measures_json(r->ranks[LCF_TEST], rows->rows_n[LCF_TEST]));

    if (object && (!with_times || seed_fields_put(object, TIMES, r)))
        return object;
    json_decref(object);
    return NULL;
}

json_t *next_results_summary(const next_result *results, size_t n, const next_rows *rows,
                             lcf_split split)
{
    json_t *object = json_object();
    double values[LCF_TRAIN_SEEDS_MAX];
    int failed = !object;

    LCF_ASSERT(n <= LCF_TRAIN_SEEDS_MAX);
    for (int m = 0; m < LCF_RANK_MEASURES_N; m++) {
        for (size_t i = 0; i < n; i++)
            values[i] =
                lcf_rank_mean((lcf_rank_measure)m, results[i].ranks[split], rows->rows_n[split]);
        failed |= json_object_set_new(object, lcf_rank_measure_name((lcf_rank_measure)m),
                                      seed_runs_spread(values, n));
    }
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* ---- one seed on disk ---- */

static seed_file file_of(const next_rows *rows)
{
    return (seed_file){"next-result", 1, LCF_U32, rows->rows_n[LCF_VALID], rows->rows_n[LCF_TEST]};
}

lcf_status next_result_save(const next_result *r, const lcf_next *model, const char *dir,
                            const next_rows *rows, lcf_err *err)
{
    const seed_file file = file_of(rows);
    char *weights = seed_runs_path(dir, r->seed, ".lcf");
    lcf_status status =
        weights ? lcf_next_save(model, weights, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = seed_file_save(&file, dir, r->seed, next_result_json(r, rows, true),
                                r->ranks[LCF_VALID], r->ranks[LCF_TEST], err);
    free(weights);
    return status;
}

static lcf_status check_ranks(const next_result *r, const next_rows *rows, lcf_split split,
                              lcf_err *err)
{
    const uint32_t items_n = rows->dataset.catalogue.items_n;

    for (size_t i = 0; i < rows->rows_n[split]; i++)
        if (!r->ranks[split][i] || r->ranks[split][i] >= items_n)
            return LCF_FAIL(err, LCF_EFORMAT, "a rank is %u among %u items", r->ranks[split][i],
                            items_n - 1);
    return LCF_OK;
}

/* The weights must be whole, too. */
static lcf_status check_weights(const char *dir, uint64_t seed, lcf_err *err)
{
    char *path = seed_runs_path(dir, seed, ".lcf");
    lcf_next *model = NULL;
    lcf_status status =
        path ? lcf_next_open(&model, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    lcf_next_free(model);
    free(path);
    return status;
}

lcf_status next_result_load(next_result *r, const char *dir, uint64_t seed, const next_rows *rows,
                            lcf_err *err)
{
    const seed_file file = file_of(rows);
    json_t *report = NULL;
    void *valid, *test;
    lcf_status status = seed_file_load(&report, &valid, &test, &file, dir, seed, err);

    *r = (next_result){.seed = seed, .ranks = {[LCF_VALID] = valid, [LCF_TEST] = test}};
    if (!status)
        status = seed_epochs_get(r->epochs, &r->epochs_n, &r->best_epoch, sizeof(r->epochs[0]),
                                 EPOCHS, report, err);
    if (!status)
        status = seed_fields_get(r, TIMES, report, err);
    if (!status)
        status = check_ranks(r, rows, LCF_VALID, err);
    if (!status)
        status = check_ranks(r, rows, LCF_TEST, err);
    if (!status)
        status = check_weights(dir, seed, err);
    if (status)
        next_result_dispose(r);
    json_decref(report);
    return status;
}

/* ---- all seeds ---- */

/* The arrays of a ranks file, which the caller allocated. */
static void fill_ranks(uint64_t *row, uint32_t *user, uint32_t *item, uint64_t *seeds,
                       uint32_t *ranks, const next_result *results, size_t results_n,
                       const next_rows *rows, lcf_split split)
{
    const size_t n = rows->rows_n[split];

    for (size_t i = 0; i < n; i++) {
        row[i] = rows->rows[split][i];
        user[i] = rows->dataset.sample_user[row[i]];
        item[i] = rows->dataset.sample_item[row[i]];
    }
    for (size_t s = 0; s < results_n; s++) {
        seeds[s] = results[s].seed;
        memcpy(ranks + s * n, results[s].ranks[split], n * sizeof(*ranks));
    }
}

lcf_status next_results_save_ranks(const char *dir, const next_result *results, size_t results_n,
                                   const next_inputs *in, bool rank_seen, lcf_split split,
                                   lcf_err *err)
{
    const size_t n = in->rows.rows_n[split];
    uint64_t *row = lcf_alloc(n, sizeof(*row)), *seeds = lcf_alloc(results_n, sizeof(*seeds));
    uint32_t *user = lcf_alloc(n, sizeof(*user)), *item = lcf_alloc(n, sizeof(*item));
    uint32_t *ranks = lcf_alloc(n * results_n, sizeof(*ranks));
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_printf(&path, "%s/ranks-%s.lcf", dir, LCF_SPLIT_NAMES[split]);
    if (!row || !seeds || !user || !item || !ranks || path.status) {
        status = LCF_FAIL(err, LCF_ENOMEM, "ranks of %zu rows by %zu seeds", n, results_n);
    } else {
        const lcf_ranks r = {NULL, n,     results_n, in->config.items_n - 1, !rank_seen, row, user,
                             item, seeds, ranks};

        fill_ranks(row, user, item, seeds, ranks, results, results_n, &in->rows, split);
        status = lcf_ranks_save(lcf_buf_text(&path), &r, err);
    }
    lcf_buf_dispose(&path);
    free(row);
    free(seeds);
    free(user);
    free(item);
    free(ranks);
    return status;
}
