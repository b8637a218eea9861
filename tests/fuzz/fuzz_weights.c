/*
 * Any bytes as a bundle, and what is read from bundles: weights of rankers, of Q-Formers and of
 * adapters, fields, histories of users, item vectors, the text encoder. Once as they are, and once
 * with checksums that are right, since a mutation of a checked file would never get further.
 * Whatever is accepted is also read.
 */
#include "common/snapshot/snapshot.h"
#include "offline/ilm/adapter.h"
#include "tests/fuzz/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    fuzz_bundle_mend(mended, size);
    read_all(mended, size);
    free(mended);
    return 0;
}
