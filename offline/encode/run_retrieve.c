/*
 * The retrieve step. Invariant: no example that is written breaks the rule; every row is held
 * against it by code of its own before the file is made.
 */
#include "offline/encode/steps.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/data/predictions.h"
#include "common/store/examples_codes.h"
#include "common/store/retrieved_reuse.h"
#include "offline/eval/auc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_PER_TASK = 256,
    TASKS_PER_STEP = 32,
};

typedef struct retrieve_step {
    const lcf_retrieve_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_embeddings items;
    lcf_examples examples;
    lcf_codes codes; /* where the rule goes by them */
    lcf_example_codes example_codes;
    uint32_t *ids;                          /* [samples_n, k] */
    float *scores;                          /* [samples_n, k] */
    lcf_hash128 *query_hash, *example_hash; /* [samples_n], [examples.n]; NULL: not exact */
    lcf_retrieved_reuse *reuse;             /* NULL: all is searched */
    size_t task_first;
    size_t *check; /* [check_n] rows to compare with the exact search */
    uint32_t *check_missed;
    size_t check_n;
    /* per thread */
    lcf_example_query *queries; /* [threads, ROWS_PER_TASK] */
    float *history_vecs;        /* [threads, ROWS_PER_TASK, dim] */
    lcf_pool *pool;
    size_t short_n, found_n, wanted_n; /* rows with fewer than k; of the rows checked */
    float *votes;                      /* [samples_n] */
    double votes_auc[2];               /* valid, test; NaN where a split has one class */
} retrieve_step;

static lcf_example_query query_of(const retrieve_step *s, size_t row, float *history_vec)
{
    lcf_sample sample = lcf_dataset_sample(&s->dataset, row);

    lcf_embeddings_mean(history_vec, &s->items, sample.history, sample.history_n);
    return (lcf_example_query){sample.user, sample.time, lcf_dataset_sample_hash(&s->dataset, row),
                               history_vec, s->items.vectors + (size_t)sample.item * s->items.dim};
}

static lcf_status search_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    retrieve_step *s = arg;
    size_t begin = (s->task_first + task) * ROWS_PER_TASK, k = s->o->rule.k;
    size_t n = s->dataset.samples_n - begin;
    lcf_example_query *queries = s->queries + worker * ROWS_PER_TASK;
    float *vecs = s->history_vecs + worker * ROWS_PER_TASK * s->items.dim;

    n = n < ROWS_PER_TASK ? n : ROWS_PER_TASK;
    for (size_t i = 0; i < n; i++)
        queries[i] = query_of(s, begin + i, vecs + i * s->items.dim);
    for (size_t i = 0; i < n && s->query_hash; i++)
        s->query_hash[begin + i] = lcf_retrieved_query_hash(&queries[i], s->items.dim);
    if (s->reuse)
        return lcf_retrieved_reuse_search(s->ids + begin * k, s->scores + begin * k, s->reuse,
                                          s->query_hash + begin, queries, n, &s->o->rule, err);
    if (s->codes.bundle)
        return lcf_example_codes_search(s->ids + begin * k, s->scores + begin * k,
                                        &s->example_codes, queries, s->dataset.sample_item + begin,
                                        n, &s->o->rule, err);
    return lcf_examples_search(s->ids + begin * k, s->scores + begin * k, &s->examples, queries, n,
                               &s->o->rule, err);
}

static lcf_status search_all(retrieve_step *s, lcf_err *err)
{
    size_t tasks = (s->dataset.samples_n + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
    lcf_progress progress;
    lcf_status status = LCF_OK;

    lcf_progress_start(&progress, "retrieve", "rows", s->dataset.samples_n);
    for (s->task_first = 0; s->task_first < tasks && !status; s->task_first += TASKS_PER_STEP) {
        size_t n = tasks - s->task_first, done;
        n = n < TASKS_PER_STEP ? n : TASKS_PER_STEP;
        status = lcf_pool_run(s->pool, n, search_task, s, err);
        done = (s->task_first + n) * ROWS_PER_TASK;
        lcf_progress_update(&progress, done < s->dataset.samples_n ? done : s->dataset.samples_n);
        if (!status && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped by a signal; nothing was written");
    }
    lcf_progress_end(&progress);
    return status;
}

/* ---- checks ---- */

static bool allowed(const retrieve_step *s, size_t row, uint32_t example)
{
    const lcf_examples *e = &s->examples;
    lcf_hash128 own = lcf_dataset_sample_hash(&s->dataset, row);
    int64_t now = s->dataset.sample_time[row];

    if (example >= e->n || !memcmp(&own, &e->sample_hash[example], sizeof(own)))
        return false;
    if (s->o->rule.mode == LCF_RETRIEVE_STRICT || e->user[example] == s->dataset.sample_user[row])
        return e->time[example] < now;
    return true;
}

static lcf_status check_rule(retrieve_step *s, lcf_err *err)
{
    size_t k = s->o->rule.k;

    for (size_t row = 0; row < s->dataset.samples_n; row++) {
        const uint32_t *ids = s->ids + row * k;
        s->short_n += ids[k - 1] == LCF_EXAMPLE_NONE;
        for (size_t i = 0; i < k && ids[i] != LCF_EXAMPLE_NONE; i++)
            if (!allowed(s, row, ids[i]))
                return LCF_FAIL(err, LCF_EINVAL,
                                "sample %zu got example %u, which the rule forbids: a fault of "
                                "this program",
                                row, ids[i]);
    }
    return LCF_OK;
}

static lcf_status exact_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    retrieve_step *s = arg;
    size_t row = s->check[task], k = s->o->rule.k;
    uint32_t exact[LCF_EXAMPLES_K_MAX];
    lcf_example_query query =
        query_of(s, row, s->history_vecs + worker * ROWS_PER_TASK * s->items.dim);
    lcf_status status =
        lcf_examples_search_exact(exact, NULL, &s->examples, &query, 1, &s->o->rule, err);

    for (size_t i = 0; i < k && !status && exact[i] != LCF_EXAMPLE_NONE; i++) {
        bool found = false;
        for (size_t j = 0; j < k && !found; j++)
            found = s->ids[row * k + j] == exact[i];
        s->check_missed[2 * task] += !found;
        s->check_missed[2 * task + 1]++;
    }
    return status;
}

static lcf_status measure_recall(retrieve_step *s, lcf_err *err)
{
    size_t n = s->dataset.samples_n < s->o->check_rows ? s->dataset.samples_n : s->o->check_rows;
    lcf_rng rng;
    lcf_status status;

    if (s->codes.bundle) /* every example was looked at */
        return LCF_OK;
    s->check_n = n;
    s->check = lcf_alloc(n + 1, sizeof(*s->check));
    s->check_missed = lcf_alloc_zero(n + 1, 2 * sizeof(*s->check_missed));
    if (!s->check || !s->check_missed)
        return LCF_FAIL(err, LCF_ENOMEM, "check of %zu rows", n);
    lcf_rng_seed(&rng, s->o->seed, 0);
    for (size_t i = 0; i < n; i++)
        s->check[i] = (size_t)lcf_rng_below(&rng, s->dataset.samples_n);
    status = lcf_pool_run(s->pool, n, exact_task, s, err);
    for (size_t i = 0; i < n; i++) {
        s->found_n += s->check_missed[2 * i + 1] - s->check_missed[2 * i];
        s->wanted_n += s->check_missed[2 * i + 1];
    }
    return status;
}

/* ---- what the neighbours' labels say ---- */

static lcf_status vote(retrieve_step *s, lcf_err *err)
{
    const lcf_dataset *d = &s->dataset;
    const size_t n = d->samples_n, k = s->o->rule.k;
    uint64_t *scratch = lcf_alloc(n + 1, 2 * sizeof(*scratch));

    s->votes = lcf_alloc(n + 1, sizeof(*s->votes));
    if (!s->votes || !scratch) {
        free(scratch);
        return LCF_FAIL(err, LCF_ENOMEM, "votes of %zu rows", n);
    }
    for (size_t row = 0; row < n; row++)
        s->votes[row] = lcf_retrieved_vote(&s->examples, s->ids + row * k, s->scores + row * k, k);
    for (int split = LCF_VALID; split <= LCF_TEST; split++) {
        const size_t begin = d->split_begin[split];

        s->votes_auc[split - LCF_VALID] = lcf_auc(s->votes + begin, d->sample_label + begin,
                                                  d->split_begin[split + 1] - begin, scratch);
    }
    free(scratch);
    return LCF_OK;
}

static lcf_status write_votes(const retrieve_step *s, const char *dir, lcf_split split,
                              lcf_err *err)
{
    return lcf_predictions_save_split(dir, &s->dataset, split, NULL,
                                      lcf_dataset_split_n(&s->dataset, split),
                                      s->votes + s->dataset.split_begin[split], err);
}

/* ---- the artefact ---- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *stats_of(const retrieve_step *s)
{
    double recall = s->wanted_n ? (double)s->found_n / (double)s->wanted_n : 1.0;

    return json_pack("{s:I, s:I, s:o, s:I, s:I, s:f, s:o, s:o}", "rows",
                     (json_int_t)s->dataset.samples_n, "examples", (json_int_t)s->examples.n,
                     "rule", lcf_example_options_to_json(&s->o->rule), "short_rows",
                     (json_int_t)s->short_n, "checked_rows", (json_int_t)s->check_n, "recall",
                     recall, "vote_valid_auc", number(s->votes_auc[0]), "vote_test_auc",
                     number(s->votes_auc[1]));
}

static lcf_status write_retrieved(const retrieve_step *s, const char *dir, lcf_err *err)
{
    const lcf_retrieved r = {.rule = s->o->rule,
                             .rows_n = s->dataset.samples_n,
                             .ids = s->ids,
                             .scores = s->scores,
                             .query_hash = s->query_hash,
                             .example_hash = s->example_hash,
                             .examples_n = s->examples.n};
    char *path = lcf_path_join(dir, "retrieved.lcf");
    lcf_status status =
        path ? lcf_retrieved_save(path, &r, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

static lcf_status write_files(const retrieve_step *s, const char *dir, lcf_err *err)
{
    lcf_status status = write_retrieved(s, dir, err);

    if (!status)
        status = write_votes(s, dir, LCF_VALID, err);
    if (!status)
        status = write_votes(s, dir, LCF_TEST, err);
    return status ? status : lcf_manifest_stat(s->manifest, "counts", stats_of(s), err);
}

static lcf_status write_all(const retrieve_step *s, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, s->o->out_dir, err);

    if (!status)
        status = write_files(s, lcf_stage_path(stage), err);
    return lcf_manifest_finish(s->manifest, stage, status, err);
}

static lcf_status open_codes(retrieve_step *s, lcf_err *err)
{
    lcf_status status;

    if (!s->o->codes_dir)
        return LCF_OK;
    status = lcf_codes_open_dir(&s->codes, s->o->codes_dir, &s->dataset, err);
    if (!status)
        status = lcf_example_codes_init(&s->example_codes, &s->examples, &s->codes, err);
    return status;
}

/* Vectors and examples are of this dataset, as far as their manifests say. */
static lcf_status check_origin(const retrieve_step *s, lcf_err *err)
{
    lcf_status status = lcf_manifest_made_of(s->o->vectors_dir, "dataset", s->dataset.id, err);

    if (!status)
        status = lcf_manifest_made_of(s->o->examples_dir, "dataset", s->dataset.id, err);
    if (status == LCF_EINVAL)
        lcf_err_prefix(err, "encode and index again");
    return status;
}

static lcf_status open_inputs(retrieve_step *s, lcf_err *err)
{
    const retrieve_step *c = s;
    lcf_status status = lcf_embeddings_open_in(&s->items, s->o->vectors_dir, "items.lcf", err);

    if (!status)
        status = lcf_dataset_open(&s->dataset, s->o->dataset_dir, err);
    if (!status)
        status = check_origin(s, err);
    if (!status)
        status = lcf_examples_open(&s->examples, s->o->examples_dir, err);
    if (status)
        return status;
    if (c->items.n != c->dataset.catalogue.items_n || c->items.dim != c->examples.text_dim)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s (%zu items, %zu dimensions) does not belong to %s (%u items) and %s "
                        "(%zu dimensions)",
                        c->o->vectors_dir, c->items.n, c->items.dim, c->o->dataset_dir,
                        c->dataset.catalogue.items_n, c->o->examples_dir, c->examples.text_dim);
    for (size_t i = 0; i < c->examples.n; i++)
        if (c->examples.user[i] >= c->dataset.users_n ||
            c->examples.item[i] >= c->dataset.catalogue.items_n)
            return LCF_FAIL(err, LCF_EINVAL, "%s: example %zu is of another dataset",
                            c->o->examples_dir, i);
    return open_codes(s, err);
}

static lcf_status allocate(retrieve_step *s, lcf_err *err)
{
    size_t slots, queries = 0, threads;
    lcf_status status = lcf_pool_create(&s->pool, s->o->threads, err);

    if (status)
        return status;
    threads = lcf_pool_threads(s->pool);
    if (lcf_mul_size(&slots, s->dataset.samples_n + 1, s->o->rule.k) &&
        lcf_mul_size(&queries, threads, ROWS_PER_TASK)) {
        s->ids = lcf_alloc(slots, sizeof(*s->ids));
        s->scores = lcf_alloc(slots, sizeof(*s->scores));
        s->queries = lcf_alloc(queries, sizeof(*s->queries));
        s->history_vecs = lcf_alloc(queries, s->items.dim * sizeof(*s->history_vecs));
    }
    if (!s->ids || !s->scores || !s->queries || !s->history_vecs)
        return LCF_FAIL(err, LCF_ENOMEM, "examples of %zu rows", s->dataset.samples_n);
    return LCF_OK;
}

static lcf_status hash_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    retrieve_step *s = arg;

    (void)worker;
    (void)err;
    s->example_hash[task] = lcf_retrieved_example_hash(&s->examples, task);
    return LCF_OK;
}

/* Hashes for the next time, and what there is from the last. */
static lcf_status open_reuse(retrieve_step *s, lcf_err *err)
{
    static const char *const data[] = {"dataset", "vectors", "examples", NULL};
    char *path;
    lcf_status status;

    if (s->codes.bundle || s->examples.kind != LCF_FAISS_FLAT)
        return LCF_OK;
    path = lcf_path_join(s->o->out_dir, "retrieved.lcf");
    s->query_hash = lcf_alloc(s->dataset.samples_n + 1, sizeof(*s->query_hash));
    s->example_hash = lcf_alloc(s->examples.n + 1, sizeof(*s->example_hash));
    status = path && s->query_hash && s->example_hash
                 ? lcf_pool_run(s->pool, s->examples.n, hash_task, s, err)
                 : LCF_FAIL(err, LCF_ENOMEM, "hashes of %zu examples", s->examples.n);
    if (!status && s->o->reuse && !s->o->force &&
        lcf_manifest_is_like(s->manifest, s->o->out_dir, data))
        status = lcf_retrieved_reuse_open(&s->reuse, path, &s->examples, s->example_hash,
                                          &s->o->rule, err);
    free(path);
    return status == LCF_ENOTFOUND ? LCF_OK : status;
}

static lcf_status make(retrieve_step *s, lcf_err *err)
{
    lcf_status status = open_inputs(s, err);

    if (!status)
        status = allocate(s, err);
    if (!status)
        status = open_reuse(s, err);
    if (!status)
        status = search_all(s, err);
    if (!status)
        status = check_rule(s, err);
    if (!status)
        status = measure_recall(s, err);
    if (!status)
        status = vote(s, err);
    return status ? status : write_all(s, err);
}

static lcf_status describe(retrieve_step *s, lcf_err *err)
{
    const lcf_example_options *rule = &s->o->rule;
    const lcf_input inputs[] = {{"dataset", s->o->dataset_dir},
                                {"vectors", s->o->vectors_dir},
                                {"examples", s->o->examples_dir},
                                {"codes", s->o->codes_dir},
                                {NULL, NULL}};
    json_t *params = json_pack("{s:I, s:s, s:s, s:b}", "k", (json_int_t)rule->k, "mode",
                               lcf_retrieval_mode_name(rule->mode), "by",
                               lcf_retrieval_by_name(rule->by), "balanced", (int)rule->balanced);

    return lcf_manifest_describe(&s->manifest, "retrieve", params, inputs, err);
}

static void retrieve_dispose(retrieve_step *s)
{
    lcf_pool_free(s->pool);
    lcf_retrieved_reuse_close(s->reuse);
    lcf_example_codes_dispose(&s->example_codes);
    if (s->codes.bundle)
        lcf_codes_close(&s->codes);
    lcf_examples_close(&s->examples);
    lcf_embeddings_close(&s->items);
    lcf_dataset_close(&s->dataset);
    lcf_manifest_free(s->manifest);
    free(s->ids);
    free(s->scores);
    free(s->query_hash);
    free(s->example_hash);
    free(s->votes);
    free(s->check);
    free(s->check_missed);
    free(s->queries);
    free(s->history_vecs);
}

lcf_status lcf_retrieve_run(json_t **stats, bool *current, const lcf_retrieve_options *options,
                            lcf_err *err)
{
    retrieve_step s = {.o = options};
    lcf_status status =
        !options->codes_dir == (options->rule.by != LCF_RETRIEVE_BY_CODES)
            ? describe(&s, err)
            : LCF_FAIL(err, LCF_EINVAL, "codes and a rule that goes by codes belong together");

    *stats = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out_dir);
    if (*current)
        status = lcf_manifest_read_stat(stats, options->out_dir, "counts", err);
    else if (!status)
        status = make(&s, err);
    if (!status && !*current)
        *stats = stats_of(&s);
    if (*stats && s.reuse) {
        json_object_set_new(*stats, "searched_rows",
                            json_integer((json_int_t)lcf_retrieved_reuse_searched(s.reuse)));
        json_object_set_new(*stats, "new_examples",
                            json_integer((json_int_t)lcf_retrieved_reuse_new(s.reuse)));
    }
    retrieve_dispose(&s);
    return status;
}
