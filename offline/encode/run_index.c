/*
 * The index step. Invariant: every example is a training row of the dataset, at most once, with the
 * best record that explains it.
 */
#include "offline/encode/steps.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/store/cot_store.h"

#include <stdlib.h>
#include <string.h>

typedef struct row {
    lcf_hash128 hash;
    size_t sample;
} row;

/* A record and the row that it explains. */
typedef struct match {
    lcf_hash128 key;
    size_t sample, vector;
    float score;
    int64_t time;
} match;

typedef struct index_step {
    const lcf_index_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_cot_store *store;
    lcf_embeddings items, cots;
    row *rows; /* the training rows by hash */
    size_t rows_n;
    match *matches;
    size_t capacity, n;
    size_t records_n, rejected_n, unmatched_n, superseded_n, positives_n;
    lcf_examples_recall recall;
    size_t grown_n; /* rows that earlier indices were grown by */
    /* the arrays of the examples */
    lcf_hash128 *key, *sample_hash;
    uint32_t *user, *item, *history, *history_n;
    uint8_t *label;
    int64_t *time;
    float *history_vec, *target_vec, *cot_vec;
} index_step;

static int compare_rows(const void *pa, const void *pb)
{
    const row *a = pa, *b = pb;
    int order = memcmp(&a->hash, &b->hash, sizeof(a->hash));

    return order ? order : (a->sample > b->sample) - (a->sample < b->sample);
}

static lcf_status hash_rows(index_step *s, lcf_err *err)
{
    size_t begin = s->dataset.split_begin[LCF_TRAIN], end = s->dataset.split_begin[LCF_TRAIN + 1];

    s->rows_n = end - begin;
    s->rows = lcf_alloc(s->rows_n + 1, sizeof(*s->rows));
    if (!s->rows)
        return LCF_FAIL(err, LCF_ENOMEM, "hashes of %zu training rows", s->rows_n);
    for (size_t i = 0; i < s->rows_n; i++)
        s->rows[i] = (row){lcf_dataset_sample_hash(&s->dataset, begin + i), begin + i};
    qsort(s->rows, s->rows_n, sizeof(*s->rows), compare_rows);
    return LCF_OK;
}

/* The first training row of that hash, or SIZE_MAX. */
static size_t find_row(const index_step *s, const lcf_hash128 *hash)
{
    size_t low = 0, high = s->rows_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&s->rows[middle].hash, hash, sizeof(*hash)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == s->rows_n || memcmp(&s->rows[low].hash, hash, sizeof(*hash)))
        return SIZE_MAX;
    return s->rows[low].sample;
}

static lcf_status match_record(void *arg, const lcf_cot_head *record, lcf_err *err)
{
    index_step *s = arg;
    match m = {record->key, find_row(s, &record->sample_hash), 0, record->score, 0};
    char hex[33];

    s->records_n++;
    if (record->score == 0) {
        s->rejected_n++;
        return LCF_OK;
    }
    if (m.sample == SIZE_MAX) {
        s->unmatched_n++;
        return LCF_OK;
    }
    m.time = s->dataset.sample_time[m.sample];
    m.vector = lcf_embeddings_find(&s->cots, record->key);
    if (m.vector == (size_t)-1) {
        lcf_hash128_hex(hex, record->key);
        return LCF_FAIL(err, LCF_EINVAL, "record %s has no vector in %s; encode again", hex,
                        s->o->vectors_dir);
    }
    if (lcf_grow((void **)&s->matches, &s->capacity, s->n + 1, sizeof(*s->matches)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu examples", s->n + 1);
    s->matches[s->n++] = m;
    return LCF_OK;
}

/* By row; of one row the best score first, then the lower key. */
static int compare_sample(const void *pa, const void *pb)
{
    const match *a = pa, *b = pb;

    if (a->sample != b->sample)
        return a->sample < b->sample ? -1 : 1;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return memcmp(&a->key, &b->key, sizeof(a->key));
}

static int compare_time(const void *pa, const void *pb)
{
    const match *a = pa, *b = pb;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return memcmp(&a->key, &b->key, sizeof(a->key));
}

static void keep_best(index_step *s)
{
    size_t kept = 0;

    if (!s->n)
        return;
    qsort(s->matches, s->n, sizeof(*s->matches), compare_sample);
    for (size_t i = 0; i < s->n; i++)
        if (!kept || s->matches[kept - 1].sample != s->matches[i].sample)
            s->matches[kept++] = s->matches[i];
    s->superseded_n = s->n - kept;
    s->n = kept;
    qsort(s->matches, s->n, sizeof(*s->matches), compare_time);
}

static lcf_status allocate(index_step *s, lcf_err *err)
{
    size_t n = s->n + 1;

    s->key = lcf_alloc(n, sizeof(*s->key));
    s->sample_hash = lcf_alloc(n, sizeof(*s->sample_hash));
    s->user = lcf_alloc(n, sizeof(*s->user));
    s->item = lcf_alloc(n, sizeof(*s->item));
    s->history = lcf_alloc_zero(n, LCF_HISTORY_MAX * sizeof(*s->history));
    s->history_n = lcf_alloc(n, sizeof(*s->history_n));
    s->label = lcf_alloc(n, sizeof(*s->label));
    s->time = lcf_alloc(n, sizeof(*s->time));
    s->history_vec = lcf_alloc(n, s->items.dim * sizeof(float));
    s->target_vec = lcf_alloc(n, s->items.dim * sizeof(float));
    s->cot_vec = lcf_alloc(n, s->cots.dim * sizeof(float));
    if (!s->key || !s->sample_hash || !s->user || !s->item || !s->history || !s->history_n ||
        !s->label || !s->time || !s->history_vec || !s->target_vec || !s->cot_vec)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu examples", s->n);
    return LCF_OK;
}

static void fill(index_step *s, size_t i)
{
    const match *m = &s->matches[i];
    lcf_sample sample = lcf_dataset_sample(&s->dataset, m->sample);
    size_t dim = s->items.dim;

    s->key[i] = m->key;
    s->sample_hash[i] = lcf_dataset_sample_hash(&s->dataset, m->sample);
    s->user[i] = sample.user;
    s->item[i] = sample.item;
    s->label[i] = sample.label;
    s->time[i] = sample.time;
    s->history_n[i] = sample.history_n;
    s->positives_n += sample.label;
    if (sample.history_n)
        memcpy(s->history + i * LCF_HISTORY_MAX, sample.history,
               sample.history_n * sizeof(*s->history));
    lcf_embeddings_mean(s->history_vec + i * dim, &s->items, sample.history, sample.history_n);
    memcpy(s->target_vec + i * dim, s->items.vectors + (size_t)sample.item * dim,
           dim * sizeof(float));
    memcpy(s->cot_vec + i * s->cots.dim, s->cots.vectors + m->vector * s->cots.dim,
           s->cots.dim * sizeof(float));
}

static json_t *stats_of(const index_step *s)
{
    json_t *stats =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "records", (json_int_t)s->records_n, "rejected",
                  (json_int_t)s->rejected_n, "unmatched", (json_int_t)s->unmatched_n, "superseded",
                  (json_int_t)s->superseded_n, "examples", (json_int_t)s->n, "positives",
                  (json_int_t)s->positives_n);

    if (stats && s->o->kind != LCF_FAISS_FLAT &&
        (json_object_set_new(stats, "kind", json_string(lcf_faiss_kind_name(s->o->kind))) ||
         json_object_set_new(stats, "setting", json_integer(s->recall.setting)) ||
         json_object_set_new(stats, "recall_queries", json_integer(s->recall.queries_n)) ||
         json_object_set_new(stats, "recall", json_real(s->recall.recall)))) {
        json_decref(stats);
        stats = NULL;
    }
    return stats;
}

static lcf_status write_all(index_step *s, lcf_err *err)
{
    lcf_examples e = {.n = s->n,
                      .text_dim = s->items.dim,
                      .cot_dim = s->cots.dim,
                      .key = s->key,
                      .sample_hash = s->sample_hash,
                      .user = s->user,
                      .item = s->item,
                      .label = s->label,
                      .time = s->time,
                      .history = s->history,
                      .history_n = s->history_n,
                      .history_vec = s->history_vec,
                      .target_vec = s->target_vec,
                      .cot_vec = s->cot_vec};
    static const char *const data[] = {"dataset", "vectors", "cot_records", NULL};
    const bool grow =
        s->o->reuse && !s->o->force && lcf_manifest_is_like(s->manifest, s->o->out_dir, data);
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, s->o->out_dir, err);

    if (!status)
        status = lcf_examples_save_kind(&s->recall, &s->grown_n, lcf_stage_path(stage), &e,
                                        s->o->kind, grow ? s->o->out_dir : NULL, err);
    if (!status)
        status = lcf_manifest_stat(s->manifest, "counts", stats_of(s), err);
    return lcf_manifest_finish(s->manifest, stage, status, err);
}

static lcf_status open_inputs(index_step *s, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&s->dataset, s->o->dataset_dir, err);

    if (!status)
        status = lcf_embeddings_open_in(&s->items, s->o->vectors_dir, "items.lcf", err);
    if (!status)
        status = lcf_embeddings_open_in(&s->cots, s->o->vectors_dir, "cots.lcf", err);
    if (status)
        return status;
    if (s->items.n != s->dataset.catalogue.items_n)
        return LCF_FAIL(err, LCF_EINVAL, "%s has vectors of %zu items, %s has %u; encode again",
                        s->o->vectors_dir, s->items.n, s->o->dataset_dir,
                        s->dataset.catalogue.items_n);
    if (!s->cots.keys)
        return LCF_FAIL(
            err, LCF_EFORMAT,
            "%s/cots.lcf holds no record: every text in %s was rejected; tune the model longer",
            s->o->vectors_dir, s->o->cot_dir);
    return LCF_OK;
}

static lcf_status make(index_step *s, lcf_err *err)
{
    lcf_status status = open_inputs(s, err);

    if (!status)
        status = hash_rows(s, err);
    if (!status)
        status = lcf_cot_store_each_head(s->store, match_record, s, err);
    if (status)
        return status;
    keep_best(s);
    if (!s->n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "no example: of %zu records in %s, %zu are rejected and %zu are of no "
                        "training row of %s",
                        s->records_n, s->o->cot_dir, s->rejected_n, s->unmatched_n,
                        s->o->dataset_dir);
    status = allocate(s, err);
    for (size_t i = 0; i < s->n && !status; i++)
        fill(s, i);
    return status ? status : write_all(s, err);
}

static lcf_status describe(index_step *s, lcf_err *err)
{
    const lcf_input inputs[] = {
        {"dataset", s->o->dataset_dir}, {"vectors", s->o->vectors_dir}, {NULL, NULL}};
    const char *kind = s->o->kind == LCF_FAISS_FLAT ? NULL : lcf_faiss_kind_name(s->o->kind);
    char digest[LCF_SHA256_HEX_BYTES];
    const lcf_status status = lcf_cot_store_digest(digest, s->store, err);

    return status ? status
                  : lcf_manifest_describe(
                        &s->manifest, "index",
                        json_pack("{s:s, s:s?}", "cot_records", digest, "kind", kind), inputs, err);
}

static void index_dispose(index_step *s)
{
    lcf_embeddings_close(&s->items);
    lcf_embeddings_close(&s->cots);
    lcf_cot_store_close(s->store);
    lcf_dataset_close(&s->dataset);
    lcf_manifest_free(s->manifest);
    free(s->rows);
    free(s->matches);
    free(s->key);
    free(s->sample_hash);
    free(s->user);
    free(s->item);
    free(s->history);
    free(s->history_n);
    free(s->label);
    free(s->time);
    free(s->history_vec);
    free(s->target_vec);
    free(s->cot_vec);
}

lcf_status lcf_index_run(json_t **stats, bool *current, const lcf_index_options *options,
                         lcf_err *err)
{
    index_step s = {.o = options};
    lcf_cot_store_options reading = LCF_COT_STORE_OPTIONS_INIT;
    lcf_status status = lcf_cot_store_open(&s.store, options->cot_dir, &reading, err);

    *stats = NULL;
    if (!status)
        status = describe(&s, err);
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out_dir);
    if (*current)
        status = lcf_manifest_read_stat(stats, options->out_dir, "counts", err);
    else if (!status)
        status = make(&s, err);
    if (!status && !*current)
        *stats = stats_of(&s);
    if (*stats && !*current && options->kind != LCF_FAISS_FLAT) {
        json_object_set_new(*stats, "query_us", json_real(s.recall.query_us));
        json_object_set_new(*stats, "grown_rows", json_integer((json_int_t)s.grown_n));
    }
    index_dispose(&s);
    return status;
}
