/*
 * Any bytes as a bundle, and what is read from bundles: weights of rankers, of Q-Formers and of
 * adapters, fields, histories of users, item vectors, the text encoder. Once as they are, and once
 * with checksums that are right, since a mutation of a checked file would never get further.
 * Whatever is accepted is also read.
 */
#include "common/base/bundle.h"
#include "common/base/hash.h"
#include "common/snapshot/snapshot.h"
#include "offline/ilm/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As in bundle.md. */
enum {
    HEADER_BYTES = 64,
    ARRAYS_N_AT = 32,
    DIRECTORY_AT = 40,
    FILE_BYTES_AT = 48,
    DIRECTORY_HASH_AT = 56,
    ENTRY_BYTES = 128,
    DTYPE_AT = 64,
    DIMS_N_AT = 68,
    DIMS_AT = 72,
    OFFSET_AT = 104,
    HASH_AT = 112,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static void mend_entry(uint8_t *file, uint64_t directory, uint8_t *entry)
{
    uint64_t n = lcf_dtype_bytes((lcf_dtype)u32_at(entry + DTYPE_AT));
    const uint64_t offset = u64_at(entry + OFFSET_AT);

    for (uint32_t i = 0; i < u32_at(entry + DIMS_N_AT) && i < LCF_BUNDLE_DIMS_MAX; i++)
        if (__builtin_mul_overflow(n, u64_at(entry + DIMS_AT + i * 8), &n))
            return;
    if (offset <= directory && n <= directory - offset)
        put_u64(entry + HASH_AT, lcf_hash64(file + offset, n, 0));
}

/* Checksums of what lies within the file. */
static void mend(uint8_t *file, size_t size)
{
    uint64_t directory, bytes;

    if (size < HEADER_BYTES)
        return;
    directory = u64_at(file + DIRECTORY_AT);
    bytes = (uint64_t)u32_at(file + ARRAYS_N_AT) * ENTRY_BYTES;
    put_u64(file + FILE_BYTES_AT, size);
    if (directory > size || bytes > size - directory)
        return;
    for (uint64_t at = directory; at < directory + bytes; at += ENTRY_BYTES)
        mend_entry(file, directory, file + at);
    put_u64(file + DIRECTORY_HASH_AT, lcf_hash64(file + directory, bytes, 0));
}

static void read_ranker(const char *path)
{
    lcf_ranker *r;

    if (lcf_ranker_open(&r, path, NULL))
        return;
    if (lcf_ranker_config_of(r)->dim == 0)
        abort();
    lcf_ranker_free(r);
}

static void read_rest(const char *path)
{
    lcf_fields fields;
    lcf_user_histories users;
    lcf_embeddings vectors;
    volatile float sink = 0;

    if (!lcf_fields_open(&fields, path, NULL))
        lcf_fields_close(&fields);
    if (!lcf_user_histories_open(&users, path, 100, NULL)) {
        for (uint32_t u = 0; u < users.users_n; u++)
            if (users.history_n[u] > LCF_HISTORY_MAX || users.history[u * LCF_HISTORY_MAX] >= 100)
                abort();
        lcf_user_histories_close(&users);
    }
    if (!lcf_embeddings_open(&vectors, path, NULL)) {
        if (vectors.n && vectors.dim)
            sink = vectors.vectors[vectors.n * vectors.dim - 1];
        lcf_embeddings_close(&vectors);
    }
    (void)sink;
}

static void read_encoder(const char *path)
{
    static const char TEXT[] = "The Red fox's caf\xc3\xa9, the red fox";
    lcf_text_encoder e;
    lcf_features features;
    float *out;

    if (lcf_text_encoder_open(&e, path, NULL))
        return;
    out = calloc(e.dim, sizeof(*out));
    if (!out || lcf_features_init(&features, e.bits, NULL) ||
        lcf_text_encoder_encode(out, &e, &features, (lcf_str){TEXT, sizeof(TEXT) - 1}, NULL))
        abort();
    free(out);
    lcf_features_dispose(&features);
    lcf_text_encoder_close(&e);
}

static void read_qformer(const char *path)
{
    lcf_qformer *m;
    const lcf_qformer_config *c;
    float *vector, *out;

    if (lcf_qformer_open(&m, path, NULL))
        return;
    c = lcf_qformer_config_of(m);
    vector = calloc(c->item_dim, sizeof(*vector));
    out = calloc((size_t)c->queries * c->hidden, sizeof(*out));
    if (!vector || !out || lcf_qformer_encode(out, m, vector, 1, NULL))
        abort();
    free(vector);
    free(out);
    lcf_qformer_free(m);
}

static void read_adapter(const char *path)
{
    lcf_ilm_adapter *a;
    lcf_cf_vectors v = {.items_n = 1};
    lcf_pool *pool;
    float *out;

    if (lcf_ilm_adapter_open(&a, path, NULL))
        return;
    v.dim = lcf_ilm_adapter_config(a)->item_dim;
    v.values = calloc(v.dim, sizeof(*v.values));
    out = calloc((size_t)lcf_ilm_adapter_config(a)->tokens * lcf_ilm_adapter_config(a)->dim,
                 sizeof(*out));
    if (!v.values || !out || lcf_pool_create(&pool, 1, NULL) ||
        lcf_ilm_adapter_table(out, a, &v, pool, NULL))
        abort();
    lcf_pool_free(pool);
    free(v.values);
    free(out);
    lcf_ilm_adapter_free(a);
}

static void read_all(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("bundle", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    read_ranker(path);
    read_rest(path);
    read_encoder(path);
    read_qformer(path);
    read_adapter(path);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);

    if (!mended)
        return 0;
    read_all(data, size);
    memcpy(mended, data, size);
    mend(mended, size);
    read_all(mended, size);
    free(mended);
    return 0;
}
