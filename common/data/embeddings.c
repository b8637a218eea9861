/*
 * Embeddings bundle: vectors f32 [n, dim], and keys u8 [n, 16] where rows go by key.
 *
 * Invariant: every row has norm 1 (to 1e-3) or is all zeros, keys strictly ascend; checked when
 * written and when opened.
 */
#include "common/data/embeddings.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NORM_TOLERANCE 1e-3
_Static_assert(sizeof(lcf_hash128) == 16, "keys are stored as rows of 16 bytes");

static lcf_status check_rows(const float *vectors, size_t n, size_t dim, lcf_err *err)
{
    for (size_t row = 0; row < n; row++) {
        const float *v = vectors + row * dim;
        double square = 0.0;

        for (size_t i = 0; i < dim; i++)
            square += (double)v[i] * v[i];
        /* Written so that NaN fails too. */
        if (square != 0.0 && !(fabs(sqrt(square) - 1.0) <= NORM_TOLERANCE))
            return LCF_FAIL(err, LCF_EFORMAT, "vectors[%zu] has norm %g, neither 0 nor 1", row,
                            sqrt(square));
    }
    return LCF_OK;
}

static lcf_status check_keys(const lcf_hash128 *keys, size_t n, lcf_err *err)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (memcmp(keys[i].bytes, keys[i + 1].bytes, sizeof(keys[i].bytes)) >= 0)
            return LCF_FAIL(err, LCF_EFORMAT, "keys[%zu] is not greater than the key before it",
                            i + 1);
    return LCF_OK;
}

static lcf_status read_arrays(lcf_embeddings *e, lcf_err *err)
{
    uint64_t dims[2] = {0, 0}, key_dims[2];
    const void *data;
    lcf_status status = lcf_bundle_get(&data, e->bundle, "vectors", LCF_F32, dims, 2, err);

    if (status)
        return status;
    if (!dims[1])
        return LCF_FAIL(err, LCF_EFORMAT, "vectors have no dimensions");
    e->vectors = data;
    e->n = (size_t)dims[0];
    e->dim = (size_t)dims[1];
    status = check_rows(e->vectors, e->n, e->dim, err);
    if (status || !lcf_bundle_find(e->bundle, "keys"))
        return status;
    key_dims[0] = 0;
    key_dims[1] = sizeof(lcf_hash128);
    status = lcf_bundle_get(&data, e->bundle, "keys", LCF_U8, key_dims, 2, err);
    if (status)
        return status;
    if (key_dims[0] != e->n)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu keys for %zu vectors", (size_t)key_dims[0], e->n);
    e->keys = data;
    return check_keys(e->keys, e->n, err);
}

lcf_status lcf_embeddings_open(lcf_embeddings *out, const char *path, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, "embeddings", LCF_EMBEDDINGS_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_embeddings_close(out);
    }
    return status;
}

lcf_status lcf_embeddings_open_in(lcf_embeddings *out, const char *dir, const char *name,
                                  lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status =
        path ? lcf_embeddings_open(out, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

void lcf_embeddings_close(lcf_embeddings *e)
{
    lcf_bundle_close(e->bundle);
    memset(e, 0, sizeof(*e));
}

size_t lcf_embeddings_find(const lcf_embeddings *e, lcf_hash128 key)
{
    size_t low = 0, high = e->n;

    LCF_ASSERT(e->keys);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(e->keys[middle].bytes, key.bytes, sizeof(key.bytes));

        if (!order)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (size_t)-1;
}

static lcf_status write_arrays(lcf_bundle_writer *w, const float *vectors, const lcf_hash128 *keys,
                               size_t n, size_t dim, lcf_err *err)
{
    const uint64_t dims[2] = {n, dim}, key_dims[2] = {n, sizeof(lcf_hash128)};
    lcf_status status = lcf_bundle_add(w, "vectors", LCF_F32, dims, 2, vectors, err);

    if (!status && keys)
        status = lcf_bundle_add(w, "keys", LCF_U8, key_dims, 2, keys, err);
    return status;
}

lcf_status lcf_embeddings_save(const char *path, const float *vectors, const lcf_hash128 *keys,
                               size_t n, size_t dim, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status;

    if (!dim)
        return LCF_FAIL(err, LCF_EINVAL, "%s: vectors have no dimensions", path);
    status = check_rows(vectors, n, dim, err);
    if (!status && keys)
        status = check_keys(keys, n, err);
    if (!status)
        status = lcf_bundle_create(&w, path, "embeddings", LCF_EMBEDDINGS_VERSION, err);
    if (status)
        return status;
    status = write_arrays(w, vectors, keys, n, dim, err);
    return lcf_bundle_finish(w, status, err);
}

void lcf_embeddings_mean(float *out, const lcf_embeddings *e, const uint32_t *history, size_t n)
{
    for (size_t i = 0; i < e->dim; i++)
        out[i] = 0.0f;
    if (!n)
        return;
    for (size_t j = 0; j < n; j++) {
        const float *v = e->vectors + (size_t)history[j] * e->dim;

        LCF_ASSERT(history[j] < e->n);
        for (size_t i = 0; i < e->dim; i++)
            out[i] += v[i];
    }
    for (size_t i = 0; i < e->dim; i++)
        out[i] /= (float)n;
}
