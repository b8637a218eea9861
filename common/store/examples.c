/*
 * Examples: the bundle examples.lcf and the FAISS indices faiss-0.index and faiss-1.index, one per
 * label.
 *
 * Invariant: after a successful open every label is 0 or 1, every history count is within bounds,
 * and the FAISS files are the very bytes that were saved with the bundle: their hashes are in it.
 */
#include "common/store/examples.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/store/examples_index.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is written with flat indices is as in version 1, so that whoever knows no others reads it.
 */
enum { VERSION_FLAT = 1, VERSION = 2 };
static const char KIND[] = "examples";

/* ---- the rows of one label ---- */

typedef struct order_key {
    int64_t time;
    uint32_t user, id;
} order_key;

static int compare_time(const void *pa, const void *pb)
{
    const order_key *a = pa, *b = pb;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static int compare_user(const void *pa, const void *pb)
{
    const order_key *a = pa, *b = pb;

    if (a->user != b->user)
        return a->user < b->user ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id); /* ids are rows here, and rows go by time */
}

static float norm_max(const lcf_examples *e, const uint32_t *ids, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        const float *h = e->history_vec + (size_t)ids[i] * e->text_dim;
        const float *t = e->target_vec + (size_t)ids[i] * e->text_dim;
        double square = 0;
        for (size_t j = 0; j < e->text_dim; j++)
            square += (double)h[j] * h[j] + (double)t[j] * t[j];
        most = square > most ? square : most;
    }
    return (float)sqrt(most) * 1.0001f;
}

static void fill(lcf_label_index *index, const lcf_examples *e, unsigned label, order_key *keys)
{
    size_t n = 0;

    for (size_t i = 0; i < e->n; i++)
        if (e->label[i] == label)
            keys[n++] = (order_key){e->time[i], e->user[i], (uint32_t)i};
    qsort(keys, n, sizeof(*keys), compare_time);
    for (size_t row = 0; row < n; row++) {
        index->ids[row] = keys[row].id;
        index->time[row] = keys[row].time;
        keys[row].id = (uint32_t)row;
    }
    qsort(keys, n, sizeof(*keys), compare_user);
    for (size_t i = 0; i < n; i++)
        index->by_user[i] = keys[i].id;
    index->norm_max = norm_max(e, index->ids, n);
}

lcf_status lcf_label_index_create(lcf_label_index **out, const lcf_examples *e, unsigned label,
                                  lcf_err *err)
{
    lcf_label_index *index = lcf_alloc_zero(1, sizeof(*index));
    order_key *keys = NULL;
    lcf_status status = LCF_ENOMEM;

    *out = NULL;
    if (!index)
        goto done;
    for (size_t i = 0; i < e->n; i++)
        index->n += e->label[i] == label;
    keys = lcf_alloc(index->n + 1, sizeof(*keys));
    index->ids = lcf_alloc(index->n + 1, sizeof(*index->ids));
    index->time = lcf_alloc(index->n + 1, sizeof(*index->time));
    index->by_user = lcf_alloc(index->n + 1, sizeof(*index->by_user));
    if (!keys || !index->ids || !index->time || !index->by_user)
        goto done;
    fill(index, e, label, keys);
    *out = index;
    index = NULL;
    status = LCF_OK;
done:
    free(keys);
    lcf_label_index_free(index);
    return status ? LCF_FAIL(err, status, "index of %zu examples", e->n) : LCF_OK;
}

void lcf_label_index_free(lcf_label_index *index)
{
    if (!index)
        return;
    lcf_faiss_free(index->faiss);
    free(index->ids);
    free(index->time);
    free(index->by_user);
    free(index);
}

float *lcf_label_index_vectors(const lcf_label_index *index, const lcf_examples *e)
{
    size_t dim = e->text_dim, floats;
    float *vectors;

    if (!lcf_mul_size(&floats, index->n + 1, 2 * dim))
        return NULL;
    vectors = lcf_alloc(floats, sizeof(float));
    for (size_t row = 0; vectors && row < index->n; row++) {
        float *to = vectors + row * 2 * dim;
        memcpy(to, e->history_vec + index->ids[row] * dim, dim * sizeof(float));
        memcpy(to + dim, e->target_vec + index->ids[row] * dim, dim * sizeof(float));
    }
    return vectors;
}

size_t lcf_label_index_before(const lcf_label_index *index, int64_t time)
{
    size_t low = 0, high = index->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->time[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first position of by_user at (user, time) or after it. */
static size_t user_position(const lcf_label_index *index, const lcf_examples *e, uint64_t user,
                            int64_t time)
{
    size_t low = 0, high = index->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t row = index->by_user[middle], u = e->user[index->ids[row]];
        if (u < user || (u == user && index->time[row] < time))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t lcf_label_index_later(const lcf_label_index *index, const lcf_examples *e, uint32_t user,
                             int64_t time)
{
    return user_position(index, e, (uint64_t)user + 1, INT64_MIN) -
           user_position(index, e, user, time);
}

/* ---- the folder ---- */

static char *index_path(const char *dir, unsigned label)
{
    char name[16];

    snprintf(name, sizeof(name), "faiss-%u.index", label);
    return lcf_path_join(dir, name);
}

/* Reads one array of [n, width] (width 0: [n]) and checks its shape. */
static lcf_status get(const void **out, const lcf_examples *e, const char *name, lcf_dtype dtype,
                      size_t width, lcf_err *err)
{
    uint64_t dims[2] = {e->n, width};

    return lcf_bundle_get(out, e->bundle, name, dtype, dims, width ? 2 : 1, err);
}

/* The shape of a matrix of any size. */
static lcf_status get_shape(size_t *n, size_t *width, const lcf_bundle *b, const char *name,
                            lcf_err *err)
{
    uint64_t dims[2] = {0, 0};
    const void *data;
    lcf_status status = lcf_bundle_get(&data, b, name, LCF_F32, dims, 2, err);

    *n = (size_t)dims[0];
    *width = (size_t)dims[1];
    return status;
}

static lcf_status read_arrays(lcf_examples *e, lcf_err *err)
{
    const void *a[11] = {NULL};
    static const struct {
        const char *name;
        lcf_dtype dtype;
        size_t width;
    } spec[8] = {
        {"key", LCF_U8, 16},
        {"sample_hash", LCF_U8, 16},
        {"user", LCF_U32, 0},
        {"item", LCF_U32, 0},
        {"label", LCF_U8, 0},
        {"time", LCF_I64, 0},
        {"history", LCF_U32, LCF_HISTORY_MAX},
        {"history_n", LCF_U32, 0},
    };
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < 8 && !status; i++)
        status = get(&a[i], e, spec[i].name, spec[i].dtype, spec[i].width, err);
    if (!status)
        status = get(&a[8], e, "history_vec", LCF_F32, e->text_dim, err);
    if (!status)
        status = get(&a[9], e, "target_vec", LCF_F32, e->text_dim, err);
    if (!status)
        status = get(&a[10], e, "cot_vec", LCF_F32, e->cot_dim, err);
    e->key = a[0];
    e->sample_hash = a[1];
    e->user = a[2];
    e->item = a[3];
    e->label = a[4];
    e->time = a[5];
    e->history = a[6];
    e->history_n = a[7];
    e->history_vec = a[8];
    e->target_vec = a[9];
    e->cot_vec = a[10];
    return status;
}

static lcf_status check_values(const lcf_examples *e, lcf_status bad, lcf_err *err)
{
    if (e->n >= LCF_EXAMPLE_NONE)
        return LCF_FAIL(err, bad, "%zu examples; at most %u", e->n, LCF_EXAMPLE_NONE - 1);
    for (size_t i = 0; i < e->n; i++) {
        if (e->label[i] > 1)
            return LCF_FAIL(err, bad, "label[%zu] is %u, not 0 or 1", i, e->label[i]);
        if (e->history_n[i] > LCF_HISTORY_MAX)
            return LCF_FAIL(err, bad, "history_n[%zu] is %u, more than %u", i, e->history_n[i],
                            LCF_HISTORY_MAX);
    }
    if (!lcf_all_finite(e->history_vec, e->n * e->text_dim) ||
        !lcf_all_finite(e->target_vec, e->n * e->text_dim) ||
        !lcf_all_finite(e->cot_vec, e->n * e->cot_dim))
        return LCF_FAIL(err, bad, "a vector has a component that is not a number");
    return LCF_OK;
}

static lcf_status load_faiss(lcf_label_index *index, const lcf_examples *e, const char *path,
                             uint64_t hash, lcf_err *err)
{
    lcf_map map = {NULL, 0};
    lcf_status status = lcf_map_open(&map, path, err);

    if (status)
        return status;
    if (lcf_hash64(map.data, map.bytes_n, 0) != hash)
        status =
            LCF_FAIL(err, LCF_ECHECKSUM, "%s: not the index that belongs to examples.lcf", path);
    lcf_map_close(&map);
    if (!status)
        status = lcf_faiss_load(&index->faiss, e->kind, path, index->n, 2 * e->text_dim, err);
    if (!status)
        lcf_faiss_set(index->faiss, e->setting);
    return status;
}

static lcf_status open_label(lcf_examples *e, const char *dir, unsigned label, uint64_t hash,
                             lcf_err *err)
{
    lcf_label_index *index;
    char *path = index_path(dir, label);
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    status = lcf_label_index_create(&index, e, label, err);
    if (!status) {
        e->faiss[label] = index;
        e->faiss_ids[label] = index->ids;
        status = load_faiss(index, e, path, hash, err);
    }
    free(path);
    return status;
}

/* {"kind": NAME, "setting": N, "built": [N, N]}; without it the indices are flat. */
static lcf_status read_kind(lcf_examples *e, lcf_err *err)
{
    char *text = NULL;
    json_t *json = NULL;
    const char *kind;
    uint64_t setting;
    lcf_status status;

    if (lcf_bundle_version(e->bundle) == VERSION_FLAT)
        return LCF_OK;
    status = lcf_bundle_get_text(&text, e->bundle, "index", err);
    if (!status)
        status = lcf_json_parse(&json, text, strlen(text), "index", err);
    if (!status)
        status = lcf_json_str(&kind, json, "kind", err);
    if (!status)
        status = lcf_json_u64(&setting, json, "setting", err);
    if (!status && (setting < 1 || setting > LCF_EXAMPLES_SETTING_MAX))
        status =
            LCF_FAIL(err, LCF_EFORMAT, "index: setting is not 1 to %d", LCF_EXAMPLES_SETTING_MAX);
    for (unsigned label = 0; label < 2 && !status; label++) {
        const json_t *built = json_array_get(json_object_get(json, "built"), label);

        e->built[label] = (uint32_t)json_integer_value(built);
        if (!json_is_integer(built) || json_integer_value(built) < 0 ||
            json_integer_value(built) > LCF_EXAMPLE_NONE)
            status = LCF_FAIL(err, LCF_EFORMAT, "index: built is no two numbers of rows");
    }
    if (!status && lcf_faiss_kind_parse(&e->kind, kind, err))
        status = LCF_EFORMAT;
    if (!status)
        e->setting = (uint32_t)setting;
    json_decref(json);
    free(text);
    return status;
}

static lcf_status open_bundle(lcf_examples *e, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "examples.lcf");
    size_t n;
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    status = lcf_bundle_open(&e->bundle, path, KIND, VERSION, err);
    free(path);
    if (!status)
        status = get_shape(&e->n, &e->text_dim, e->bundle, "target_vec", err);
    if (!status)
        status = get_shape(&n, &e->cot_dim, e->bundle, "cot_vec", err);
    if (!status)
        status = read_kind(e, err);
    if (!status)
        status = read_arrays(e, err);
    return status ? status : check_values(e, LCF_EFORMAT, err);
}

static lcf_status open_indices(lcf_examples *out, const char *dir, lcf_err *err)
{
    const void *hashes;
    uint64_t dims[1] = {2};
    lcf_status status = lcf_bundle_get(&hashes, out->bundle, "faiss_hash", LCF_U64, dims, 1, err);

    for (unsigned label = 0; label < 2 && !status; label++)
        status = open_label(out, dir, label, ((const uint64_t *)hashes)[label], err);
    return status;
}

typedef enum indices { ALL_INDICES, NO_INDICES, NO_FLAT_INDICES } indices;

static lcf_status open_folder(lcf_examples *out, const char *dir, indices which, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = open_bundle(out, dir, err);
    if (!status &&
        (which == ALL_INDICES || (which == NO_FLAT_INDICES && out->kind != LCF_FAISS_FLAT)))
        status = open_indices(out, dir, err);
    if (!status)
        status = lcf_examples_shared_init(out, err);
    if (status) {
        lcf_err_prefix(err, "%s", dir);
        lcf_examples_close(out);
    }
    return status;
}

lcf_status lcf_examples_open(lcf_examples *out, const char *dir, lcf_err *err)
{
    return open_folder(out, dir, ALL_INDICES, err);
}

lcf_status lcf_examples_open_for_requests(lcf_examples *out, const char *dir, bool has_lists,
                                          lcf_err *err)
{
    return open_folder(out, dir, has_lists ? NO_INDICES : NO_FLAT_INDICES, err);
}

void lcf_examples_close(lcf_examples *e)
{
    for (unsigned label = 0; label < 2; label++)
        lcf_label_index_free(e->faiss[label]);
    lcf_examples_shared_dispose(e);
    lcf_bundle_close(e->bundle);
    memset(e, 0, sizeof(*e));
}

/* ---- saving ---- */

/* Earlier examples, whose indices may be grown. */
typedef struct earlier {
    const char *dir; /* NULL: there are none */
    lcf_examples e;
} earlier;

static void open_earlier(earlier *b, const char *dir, const lcf_examples *e)
{
    memset(b, 0, sizeof(*b));
    if (!dir || e->kind == LCF_FAISS_FLAT || lcf_examples_open(&b->e, dir, NULL))
        return; /* whatever is wrong with it: all is made from nothing */
    if (b->e.kind == e->kind && b->e.text_dim == e->text_dim)
        b->dir = dir;
}

/* What has become of an earlier index's rows: those that are still there are the first ones now, in
 * their order. */
typedef struct growth {
    uint32_t *gone; /* [before->n] room */
    size_t gone_n, kept_n;
} growth;

static lcf_status compare_rows(growth *g, const earlier *b, const lcf_label_index *before,
                               const float *vectors, size_t n, lcf_err *err)
{
    const size_t width = 2 * b->e.text_dim;
    float *rows = lcf_label_index_vectors(before, &b->e);

    g->gone = lcf_alloc(before->n + 1, sizeof(*g->gone));
    if (!rows || !g->gone) {
        free(rows);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu earlier rows", before->n);
    }
    for (size_t i = 0; i < before->n; i++)
        if (g->kept_n < n &&
            !memcmp(rows + i * width, vectors + g->kept_n * width, width * sizeof(float)))
            g->kept_n++;
        else
            g->gone[g->gone_n++] = (uint32_t)i;
    free(rows);
    return LCF_OK;
}

/* Whether what came and went is little beside the rows that the index was made of. */
static bool can_grow(const growth *g, const lcf_examples *e, size_t built, size_t n)
{
    return g->kept_n >= LCF_FAISS_ROWS_MIN && n <= built + built / 2 &&
           g->kept_n >= built - built / 4 && (!g->gone_n || lcf_faiss_can_remove(e->kind));
}

static lcf_status grow(lcf_label_index *index, const lcf_examples *e, unsigned label,
                       const float *vectors, const earlier *b, const growth *g, lcf_err *err)
{
    const size_t dim = 2 * e->text_dim;
    char *path = index_path(b->dir, label);
    const lcf_label_index *before = b->e.faiss[label];
    lcf_status status =
        path ? lcf_faiss_grow(&index->faiss, e->kind, path, before->n, g->gone, g->gone_n,
                              vectors + g->kept_n * dim, index->n - g->kept_n, dim, err)
             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", b->dir);

    free(path);
    return status;
}

static lcf_status grow_or_make(lcf_label_index *index, lcf_examples *e, size_t *grown_n,
                               unsigned label, const float *vectors, const earlier *b, lcf_err *err)
{
    const lcf_label_index *before = b && b->dir ? b->e.faiss[label] : NULL;
    const bool looks = before && before->n >= LCF_FAISS_ROWS_MIN;
    growth g = {NULL, 0, 0};
    lcf_status status = looks ? compare_rows(&g, b, before, vectors, index->n, err) : LCF_OK;

    if (!status && looks && can_grow(&g, e, b->e.built[label], index->n)) {
        status = grow(index, e, label, vectors, b, &g, err);
        e->built[label] = b->e.built[label];
        *grown_n += index->n - g.kept_n + g.gone_n;
    } else if (!status) {
        status = lcf_faiss_create(&index->faiss, e->kind, vectors, index->n, 2 * e->text_dim, err);
        e->built[label] = (uint32_t)index->n;
    }
    free(g.gone);
    return status;
}

/* b NULL: from nothing. */
static lcf_status make_label(lcf_examples *e, size_t *grown_n, unsigned label, const earlier *b,
                             lcf_err *err)
{
    lcf_label_index *index = NULL;
    float *vectors = NULL;
    lcf_status status = lcf_label_index_create(&index, e, label, err);

    if (status)
        return status;
    e->faiss[label] = index;
    e->faiss_ids[label] = index->ids;
    vectors = lcf_label_index_vectors(index, e);
    status = vectors ? grow_or_make(index, e, grown_n, label, vectors, b, err)
                     : LCF_FAIL(err, LCF_ENOMEM, "vectors of %zu examples", index->n);
    free(vectors);
    return status;
}

static lcf_status make_labels(lcf_examples *e, size_t *grown_n, const earlier *b, lcf_err *err)
{
    lcf_status status = LCF_OK;

    *grown_n = 0;
    for (unsigned label = 0; label < 2 && !status; label++) {
        lcf_label_index_free(e->faiss[label]);
        e->faiss[label] = NULL;
        status = make_label(e, grown_n, label, b, err);
    }
    return status;
}

lcf_status lcf_examples_index(lcf_examples *e, lcf_err *err)
{
    size_t grown_n;

    e->kind = LCF_FAISS_FLAT;
    return make_labels(e, &grown_n, NULL, err);
}

static lcf_status write_label(uint64_t *hash, const char *dir, const lcf_examples *e,
                              unsigned label, lcf_err *err)
{
    const lcf_label_index *index = e->faiss[label];
    uint8_t *bytes = NULL;
    size_t bytes_n;
    char *path = index_path(dir, label);
    lcf_status status = path ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = lcf_faiss_serialize(&bytes, &bytes_n, index->faiss, err);
    if (!status)
        status = lcf_file_write(path, bytes, bytes_n, err);
    if (!status)
        *hash = lcf_hash64(bytes, bytes_n, 0);
    free(bytes);
    free(path);
    return status;
}

static lcf_status add_arrays(lcf_bundle_writer *w, const lcf_examples *e, const uint64_t hashes[2],
                             lcf_err *err)
{
    const struct {
        const char *name;
        lcf_dtype dtype;
        size_t width;
        const void *data;
    } spec[] = {
        {"key", LCF_U8, 16, e->key},
        {"sample_hash", LCF_U8, 16, e->sample_hash},
        {"user", LCF_U32, 0, e->user},
        {"item", LCF_U32, 0, e->item},
        {"label", LCF_U8, 0, e->label},
        {"time", LCF_I64, 0, e->time},
        {"history", LCF_U32, LCF_HISTORY_MAX, e->history},
        {"history_n", LCF_U32, 0, e->history_n},
        {"history_vec", LCF_F32, e->text_dim, e->history_vec},
        {"target_vec", LCF_F32, e->text_dim, e->target_vec},
        {"cot_vec", LCF_F32, e->cot_dim, e->cot_vec},
    };
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(spec) / sizeof(spec[0]) && !status; i++) {
        uint64_t dims[2] = {e->n, spec[i].width};
        status = lcf_bundle_add(w, spec[i].name, spec[i].dtype, dims, spec[i].width ? 2 : 1,
                                spec[i].data, err);
    }
    if (!status)
        status = lcf_bundle_add_1d(w, "faiss_hash", LCF_U64, 2, hashes, err);
    if (!status && e->kind != LCF_FAISS_FLAT) {
        char text[128];

        snprintf(text, sizeof(text), "{\"built\":[%u,%u],\"kind\":\"%s\",\"setting\":%u}",
                 (unsigned)e->built[0], (unsigned)e->built[1], lcf_faiss_kind_name(e->kind),
                 (unsigned)e->setting);
        status = lcf_bundle_add_text(w, "index", text, err);
    }
    return status;
}

static lcf_status write_bundle(const char *dir, const lcf_examples *e, const uint64_t hashes[2],
                               lcf_err *err)
{
    const uint32_t version = e->kind == LCF_FAISS_FLAT ? VERSION_FLAT : VERSION;
    lcf_bundle_writer *w = NULL;
    char *path = lcf_path_join(dir, "examples.lcf");
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    status = lcf_bundle_create(&w, path, KIND, version, err);
    if (!status)
        status = add_arrays(w, e, hashes, err);
    if (!status) {
        status = lcf_bundle_commit(w, err);
        w = NULL;
    }
    lcf_bundle_abandon(w);
    free(path);
    return status;
}

/* Grown where that will do, else from nothing. */
static lcf_status make_measured(lcf_examples_recall *recall, size_t *grown_n, lcf_examples *e,
                                const char *before, lcf_err *err)
{
    earlier b;
    lcf_status status;

    open_earlier(&b, before, e);
    status = make_labels(e, grown_n, &b, err);
    if (!status)
        status = lcf_examples_measure(recall, e, err);
    if (!status && *grown_n &&
        (recall->setting > b.e.setting || recall->recall < LCF_EXAMPLES_RECALL)) {
        status = make_labels(e, grown_n, NULL, err);
        if (!status)
            status = lcf_examples_measure(recall, e, err);
    }
    lcf_examples_close(&b.e);
    return status;
}

lcf_status lcf_examples_save_kind(lcf_examples_recall *recall, size_t *grown_n, const char *dir,
                                  const lcf_examples *examples, lcf_faiss_kind kind,
                                  const char *before, lcf_err *err)
{
    lcf_examples e = *examples;
    uint64_t hashes[2];
    lcf_status status = check_values(&e, LCF_EINVAL, err);

    e.kind = kind;
    e.faiss[0] = e.faiss[1] = e.shared = NULL;
    if (!status)
        status = make_measured(recall, grown_n, &e, before, err);
    e.setting = status ? 0 : recall->setting;
    for (unsigned label = 0; label < 2 && !status; label++)
        status = write_label(&hashes[label], dir, &e, label, err);
    if (!status)
        status = write_bundle(dir, &e, hashes, err);
    for (unsigned label = 0; label < 2; label++)
        lcf_label_index_free(e.faiss[label]);
    return status;
}

lcf_status lcf_examples_save(const char *dir, const lcf_examples *e, lcf_err *err)
{
    lcf_examples_recall recall;
    size_t grown_n;

    return lcf_examples_save_kind(&recall, &grown_n, dir, e, LCF_FAISS_FLAT, NULL, err);
}
