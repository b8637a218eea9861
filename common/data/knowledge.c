/* Knowledge as a bundle. Invariant: offsets are in range, times never fall within an owner, vectors
 * are finite. */
#include "common/data/knowledge.h"

#include "common/data/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define KIND "knowledge"

static lcf_status check_known(const lcf_known *k, size_t dim, const char *owner, lcf_err *err)
{
    lcf_status status = lcf_check_offsets(k->begin, k->owners_n, k->n, owner, err);

    for (size_t i = 0; i < k->owners_n && !status; i++)
        for (uint64_t j = k->begin[i] + 1; j < k->begin[i + 1]; j++)
            if (k->time[j] < k->time[j - 1])
                return LCF_FAIL(err, LCF_EFORMAT, "%s.time[%llu] is earlier than the one before it",
                                owner, (unsigned long long)j);
    for (size_t i = 0; i < k->n * dim && !status; i++)
        if (!isfinite(k->vectors[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "%s.vectors[%zu] is not finite", owner, i);
    return status;
}

static lcf_status read_known(lcf_known *k, uint64_t *dim, const lcf_bundle *bundle,
                             const char *owner, lcf_err *err)
{
    const void *begin, *time, *vectors;
    uint64_t dims[2] = {0, *dim};
    char name[LCF_BUNDLE_NAME_MAX];
    lcf_status status;

    snprintf(name, sizeof(name), "%s.begin", owner);
    status = lcf_check_array(&begin, &k->owners_n, bundle, name, LCF_U64, SIZE_MAX, err);
    if (!status && !k->owners_n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is empty", name);
    snprintf(name, sizeof(name), "%s.time", owner);
    if (!status)
        status = lcf_check_array(&time, &k->n, bundle, name, LCF_I64, SIZE_MAX, err);
    snprintf(name, sizeof(name), "%s.vectors", owner);
    if (!status)
        status = lcf_bundle_get(&vectors, bundle, name, LCF_F32, dims, 2, err);
    if (!status && dims[0] != k->n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s has %zu rows for %zu times", name, (size_t)dims[0],
                          k->n);
    if (status)
        return status;
    k->owners_n--;
    k->begin = begin;
    k->time = time;
    k->vectors = vectors;
    *dim = dims[1];
    return check_known(k, dims[1], owner, err);
}

lcf_status lcf_knowledge_open(lcf_knowledge *out, const char *path, lcf_err *err)
{
    uint64_t dim = 0;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_KNOWLEDGE_VERSION, err);
    if (status)
        return status;
    status = read_known(&out->users, &dim, out->bundle, "user", err);
    if (!status)
        status = read_known(&out->items, &dim, out->bundle, "item", err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_knowledge_close(out);
        return status;
    }
    out->dim = dim;
    return LCF_OK;
}

void lcf_knowledge_close(lcf_knowledge *k)
{
    lcf_bundle_close(k->bundle);
    memset(k, 0, sizeof(*k));
}

static lcf_status write_known(lcf_bundle_writer *w, const lcf_known *k, size_t dim,
                              const char *owner, lcf_err *err)
{
    const uint64_t dims[2] = {k->n, dim};
    char name[LCF_BUNDLE_NAME_MAX];
    lcf_status status = check_known(k, dim, owner, err);

    snprintf(name, sizeof(name), "%s.begin", owner);
    if (!status)
        status = lcf_bundle_add_1d(w, name, LCF_U64, k->owners_n + 1, k->begin, err);
    snprintf(name, sizeof(name), "%s.time", owner);
    if (!status)
        status = lcf_bundle_add_1d(w, name, LCF_I64, k->n, k->time, err);
    snprintf(name, sizeof(name), "%s.vectors", owner);
    if (!status)
        status = lcf_bundle_add(w, name, LCF_F32, dims, 2, k->vectors, err);
    return status;
}

lcf_status lcf_knowledge_save(const char *path, const lcf_knowledge *k, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, KIND, LCF_KNOWLEDGE_VERSION, err);

    if (!status)
        status = write_known(w, &k->users, k->dim, "user", err);
    if (!status)
        status = write_known(w, &k->items, k->dim, "item", err);
    return lcf_bundle_finish(w, status, err);
}

const float *lcf_known_before(const lcf_known *k, size_t dim, uint32_t owner, int64_t time)
{
    uint64_t low, high, begin;

    if (owner >= k->owners_n)
        return NULL;
    begin = low = k->begin[owner];
    high = k->begin[owner + 1];
    while (low < high) { /* the first entry at `time` or later */
        const uint64_t middle = low + (high - low) / 2;

        if (k->time[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low == begin ? NULL : k->vectors + (low - 1) * dim;
}
