/* The synthetic world of world.h. */
#include "tests/unit/rank/world.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "tests/unit/data/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 4096
#define COT_BATCH 256

static const char *path_in(char *path, const char *dir, const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    return path;
}

static lcf_status write_manifest(const char *dir, const char *verb, lcf_err *err)
{
    lcf_manifest *m;
    lcf_status status = lcf_manifest_create(&m, verb, err);

    if (!status)
        status = lcf_manifest_write(m, dir, err);
    lcf_manifest_free(m);
    return status;
}

static void random_unit(float *v, size_t dim, lcf_rng *rng)
{
    double square = 0.0;

    for (size_t i = 0; i < dim; i++) {
        v[i] = (float)lcf_rng_normal(rng);
        square += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)(v[i] / sqrt(square));
}

static lcf_status write_vectors(const char *dir, const lcf_dataset *d, const world_options *o,
                                lcf_err *err)
{
    char folder[PATH_BYTES], path[PATH_BYTES + 16];
    size_t n = d->catalogue.items_n;
    float *vectors = lcf_alloc_zero(n, o->text_dim * sizeof(float));
    lcf_rng rng;
    lcf_status status;

    if (!vectors)
        return LCF_FAIL(err, LCF_ENOMEM, "vectors");
    lcf_rng_seed(&rng, o->seed, 1);
    for (size_t i = 1; i < n; i++)
        random_unit(vectors + i * o->text_dim, o->text_dim, &rng);
    status = lcf_dir_create(path_in(folder, dir, "vectors"), err);
    snprintf(path, sizeof(path), "%s/items.lcf", folder);
    if (!status)
        status = lcf_embeddings_save(path, vectors, NULL, n, o->text_dim, err);
    if (!status)
        status = write_manifest(folder, "encode", err);
    free(vectors);
    return status;
}

/* Arrays of the examples, one allocation each. */
typedef struct arrays {
    lcf_hash128 *key, *sample_hash;
    uint32_t *user, *item, *history, *history_n;
    uint8_t *label;
    int64_t *time;
    float *history_vec, *target_vec, *cot_vec;
} arrays;

static bool arrays_alloc(arrays *a, size_t n, const world_options *o)
{
    a->key = lcf_alloc_zero(n, sizeof(*a->key));
    a->sample_hash = lcf_alloc_zero(n, sizeof(*a->sample_hash));
    a->user = lcf_alloc_zero(n, sizeof(*a->user));
    a->item = lcf_alloc_zero(n, sizeof(*a->item));
    a->history = lcf_alloc_zero(n, LCF_HISTORY_MAX * sizeof(*a->history));
    a->history_n = lcf_alloc_zero(n, sizeof(*a->history_n));
    a->label = lcf_alloc_zero(n, sizeof(*a->label));
    a->time = lcf_alloc_zero(n, sizeof(*a->time));
    a->history_vec = lcf_alloc_zero(n, o->text_dim * sizeof(float));
    a->target_vec = lcf_alloc_zero(n, o->text_dim * sizeof(float));
    a->cot_vec = lcf_alloc_zero(n, o->cot_dim * sizeof(float));
    return a->key && a->sample_hash && a->user && a->item && a->history && a->history_n &&
           a->label && a->time && a->history_vec && a->target_vec && a->cot_vec;
}

static void arrays_free(arrays *a)
{
    free(a->key);
    free(a->sample_hash);
    free(a->user);
    free(a->item);
    free(a->history);
    free(a->history_n);
    free(a->label);
    free(a->time);
    free(a->history_vec);
    free(a->target_vec);
    free(a->cot_vec);
}

static void fill_example(arrays *a, size_t i, const lcf_dataset *d, const lcf_embeddings *vectors,
                         const world_options *o, lcf_rng *rng)
{
    lcf_sample s = lcf_dataset_sample(d, i);

    a->sample_hash[i] = lcf_dataset_sample_hash(d, i);
    a->key[i] = lcf_hash128_of(&a->sample_hash[i], sizeof(a->sample_hash[i]));
    a->user[i] = s.user;
    a->item[i] = s.item;
    a->label[i] = s.label;
    a->time[i] = s.time;
    a->history_n[i] = s.history_n;
    memcpy(a->history + i * LCF_HISTORY_MAX, s.history, s.history_n * sizeof(uint32_t));
    lcf_embeddings_mean(a->history_vec + i * o->text_dim, vectors, s.history, s.history_n);
    memcpy(a->target_vec + i * o->text_dim, vectors->vectors + s.item * o->text_dim,
           o->text_dim * sizeof(float));
    random_unit(a->cot_vec + i * o->cot_dim, o->cot_dim, rng);
}

static lcf_status save_examples(const char *dir, const arrays *a, size_t n, const world_options *o,
                                lcf_err *err)
{
    char folder[PATH_BYTES];
    lcf_examples e = {.n = n,
                      .text_dim = o->text_dim,
                      .cot_dim = o->cot_dim,
                      .key = a->key,
                      .sample_hash = a->sample_hash,
                      .user = a->user,
                      .item = a->item,
                      .label = a->label,
                      .time = a->time,
                      .history = a->history,
                      .history_n = a->history_n,
                      .history_vec = a->history_vec,
                      .target_vec = a->target_vec,
                      .cot_vec = a->cot_vec};
    lcf_status status = lcf_dir_create(path_in(folder, dir, "examples"), err);

    if (!status)
        status = lcf_examples_save(folder, &e, err);
    return status ? status : write_manifest(folder, "index", err);
}

/* Every second example, in batches: a transaction costs a flush. */
static lcf_status put_cots(lcf_cot_store *store, const arrays *a, size_t n, lcf_err *err)
{
    static char text[COT_BATCH][128], user[COT_BATCH][32], item[COT_BATCH][32];
    static lcf_cot_record records[COT_BATCH];
    lcf_status status = LCF_OK;
    size_t at = 0;

    for (size_t i = 0; !status && i < n; i += 2) {
        snprintf(user[at], sizeof(user[at]), "u%u", a->user[i]);
        snprintf(item[at], sizeof(item[at]), "i%u", a->item[i]);
        snprintf(text[at], sizeof(text[at]), "Example %zu: the user %s this because of \"taste\".",
                 i, a->label[i] ? "takes" : "leaves");
        records[at] = (lcf_cot_record){.key = a->key[i],
                                       .sample_hash = a->sample_hash[i],
                                       .user_id = user[at],
                                       .item_id = item[at],
                                       .label = a->label[i],
                                       .time = a->time[i],
                                       .text = text[at],
                                       .score = 0.5f,
                                       .parts = {0.5f, 0.5f, 0.5f, 0.5f},
                                       .reject_reason = "",
                                       .model_id = "none",
                                       .prompt_version = "1",
                                       .sampling = "none",
                                       .candidates_n = 1,
                                       .tokens = 10,
                                       .tokens_generated = 10};
        if (++at == COT_BATCH || i + 2 >= n) {
            status = lcf_cot_store_put(store, records, at, err);
            at = 0;
        }
    }
    return status;
}

static lcf_status write_cots(const char *dir, const arrays *a, size_t n, lcf_err *err)
{
    char folder[PATH_BYTES];
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store = NULL;
    lcf_status status;

    options.write = true;
    status = lcf_cot_store_open(&store, path_in(folder, dir, "cot"), &options, err);
    if (!status)
        status = put_cots(store, a, n, err);
    lcf_cot_store_close(store);
    return status;
}

static lcf_status write_examples(const char *dir, const lcf_dataset *d, const world_options *o,
                                 lcf_err *err)
{
    char path[PATH_BYTES];
    size_t train_n = d->split_begin[LCF_VALID];
    size_t n = train_n < o->examples_max ? train_n : o->examples_max;
    lcf_embeddings vectors;
    arrays a = {0};
    lcf_rng rng;
    lcf_status status = lcf_embeddings_open(&vectors, path_in(path, dir, "vectors/items.lcf"), err);

    if (status)
        return status;
    lcf_rng_seed(&rng, o->seed, 2);
    if (!arrays_alloc(&a, n, o))
        status = LCF_FAIL(err, LCF_ENOMEM, "examples");
    for (size_t i = 0; !status && i < n; i++)
        fill_example(&a, i, d, &vectors, o, &rng);
    if (!status)
        status = save_examples(dir, &a, n, o, err);
    if (!status)
        status = write_cots(dir, &a, n, err);
    arrays_free(&a);
    lcf_embeddings_close(&vectors);
    return status;
}

/* Who liked what in training, where the backbone takes that. */
static lcf_status set_graph(lcf_ranker *r, const lcf_dataset *d, lcf_err *err)
{
    const size_t rows_n = d->split_begin[LCF_VALID];
    uint32_t *users, *items;
    lcf_status status;
    size_t n = 0;

    if (!lcf_ranker_takes_graph(lcf_ranker_config_of(r)->backbone))
        return LCF_OK;
    users = calloc(rows_n + 1, sizeof(*users));
    items = calloc(rows_n + 1, sizeof(*items));
    for (size_t i = 0; users && items && i < rows_n; i++)
        if (d->sample_label[i]) {
            users[n] = d->sample_user[i];
            items[n++] = d->sample_item[i];
        }
    status = lcf_ranker_set_graph(r, users, items, n, err);
    free(users);
    free(items);
    return status;
}

static lcf_status write_arm(const char *dir, const char *name, const lcf_ranker_config *parts,
                            const lcf_dataset *d, const world_options *o, lcf_err *err)
{
    char path[PATH_BYTES];
    lcf_ranker_config c = *parts;
    lcf_ranker *r = NULL;
    lcf_status status;

    c.users_n = d->users_n;
    c.items_n = d->catalogue.items_n;
    c.brands_n = d->catalogue.brands_n;
    c.categories_n = d->catalogue.categories_n;
    c.text_dim = (uint32_t)o->text_dim;
    c.cot_dim = (uint32_t)o->cot_dim;
    status = lcf_ranker_create(&r, &c, o->seed, err);
    if (!status)
        status = set_graph(r, d, err);
    if (!status)
        status = lcf_ranker_save(r, path_in(path, dir, name), err);
    lcf_ranker_free(r);
    return status;
}

lcf_status world_write(const char *dir, const world_options *o, lcf_err *err)
{
    char path[PATH_BYTES];
    lcf_fixture_options log = LCF_FIXTURE_OPTIONS_INIT;
    lcf_ranker_config parts = LCF_RANKER_CONFIG_INIT;
    lcf_dataset d;
    lcf_status status;

    log.users_n = o->users_n;
    log.items_n = o->items_n;
    log.rows_per_user = o->rows_per_user;
    log.seed = o->seed;
    status = lcf_fixture_write_dataset(path_in(path, dir, "dataset"), &log, err);
    if (!status)
        status = lcf_dataset_open(&d, path, err);
    if (status)
        return status;
    status = write_vectors(dir, &d, o, err);
    if (!status)
        status = write_examples(dir, &d, o, err);
    if (!status)
        status = write_arm(dir, "din.lcf", &parts, &d, o, err);
    parts.side = "ict";
    if (!status)
        status = write_arm(dir, "ict.lcf", &parts, &d, o, err);
    lcf_dataset_close(&d);
    return status;
}

lcf_status world_write_arm(const char *dir, const char *name, const lcf_ranker_config *parts,
                           const world_options *o, lcf_err *err)
{
    char path[PATH_BYTES];
    lcf_dataset d;
    lcf_status status = lcf_dataset_open(&d, path_in(path, dir, "dataset"), err);

    if (!status)
        status = write_arm(dir, name, parts, &d, o, err);
    if (!status)
        lcf_dataset_close(&d);
    return status;
}

/* Two entries for every second owner. */
static void fill_known(lcf_known *k, uint64_t *begin, int64_t *time, float *vectors, size_t dim,
                       lcf_rng *rng)
{
    begin[0] = 0;
    for (size_t i = 0; i < k->owners_n; i++) {
        begin[i + 1] = k->n;
        for (size_t entry = 0; i % 2 && entry < 2; entry++) {
            time[k->n] = (int64_t)(entry * 1000000000);
            for (size_t j = 0; j < dim; j++)
                vectors[k->n * dim + j] = (float)lcf_rng_normal(rng);
            begin[i + 1] = ++k->n;
        }
    }
    k->begin = begin;
    k->time = time;
    k->vectors = vectors;
}

lcf_status world_write_knowledge(const char *dir, const world_options *o, lcf_err *err)
{
    uint64_t user_begin[64], item_begin[64];
    int64_t user_time[64], item_time[64];
    float user_vectors[64 * 16], item_vectors[64 * 16];
    lcf_knowledge k = {.dim = o->text_dim,
                       .users = {.owners_n = o->users_n + 1},
                       .items = {.owners_n = o->items_n + 1}};
    char path[PATH_BYTES], file[PATH_BYTES];
    lcf_manifest *m = NULL;
    lcf_rng rng;
    lcf_status status;

    LCF_ASSERT(o->users_n < 63 && o->items_n < 63 && o->text_dim <= 16);
    lcf_rng_seed(&rng, o->seed, 77);
    fill_known(&k.users, user_begin, user_time, user_vectors, k.dim, &rng);
    fill_known(&k.items, item_begin, item_time, item_vectors, k.dim, &rng);
    status = lcf_dir_create(path_in(path, dir, "knowledge"), err);
    if (!status)
        status = lcf_knowledge_save(path_in(file, dir, "knowledge/knowledge.lcf"), &k, err);
    if (!status)
        status = lcf_manifest_create(&m, "knowledge", err);
    if (!status)
        status = lcf_manifest_write(m, path, err);
    lcf_manifest_free(m);
    return status;
}

lcf_status world_publish(lcf_publish_result *out, const char *dir, const char *generation,
                         lcf_err *err)
{
    char din[PATH_BYTES], ict[PATH_BYTES];
    const lcf_snapshot_arm arms[] = {{"din", path_in(din, dir, "din.lcf")},
                                     {"din-ict", path_in(ict, dir, "ict.lcf")}};

    return world_publish_arms(out, dir, generation, arms, 2, err);
}

lcf_status world_publish_arms(lcf_publish_result *out, const char *dir, const char *generation,
                              const lcf_snapshot_arm *arms, size_t arms_n, lcf_err *err)
{
    char dataset[PATH_BYTES], vectors[PATH_BYTES], examples[PATH_BYTES], cot[PATH_BYTES];
    char root[PATH_BYTES], knowledge[PATH_BYTES];
    const lcf_publish_options options = {
        .dataset_dir = path_in(dataset, dir, "dataset"),
        .vectors_dir = path_in(vectors, dir, "vectors"),
        .examples_dir = path_in(examples, dir, "examples"),
        .cot_dir = path_in(cot, dir, "cot"),
        .knowledge_dir = lcf_path_exists(path_in(knowledge, dir, "knowledge")) ? knowledge : NULL,
        .arms = arms,
        .arms_n = arms_n,
        .generation = generation,
        .keep = 3,
        .force = true};

    return lcf_snapshot_publish(out, path_in(root, dir, "snapshots"), &options, err);
}
