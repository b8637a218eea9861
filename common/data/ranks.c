/* Ranks bundle: see ranks.h. Invariant: what was opened is what `compare-next` relies on. */
#include "common/data/ranks.h"

#include "common/base/mem.h"
#include "common/data/check.h"

#include <string.h>

static lcf_status check_values(const lcf_ranks *r, lcf_err *err)
{
    size_t n;

    for (size_t i = 0; i + 1 < r->rows_n; i++)
        if (r->row[i + 1] <= r->row[i])
            return LCF_FAIL(err, LCF_EFORMAT, "row[%zu] is not greater than the row before it",
                            i + 1);
    if (!lcf_mul_size(&n, r->seeds_n, r->rows_n))
        return LCF_FAIL(err, LCF_ELIMIT, "%zu seeds of %zu rows", r->seeds_n, r->rows_n);
    for (size_t i = 0; i < n; i++)
        if (!r->ranks[i] || r->ranks[i] > r->candidates_n)
            return LCF_FAIL(err, LCF_EFORMAT, "ranks[%zu, %zu] is %u, not 1 to %u", i / r->rows_n,
                            i % r->rows_n, r->ranks[i], r->candidates_n);
    return LCF_OK;
}

static lcf_status read_arrays(lcf_ranks *r, lcf_err *err)
{
    const void *candidates, *masked, *row, *user, *item, *seeds, *ranks;
    const lcf_bundle *b = r->bundle;
    uint64_t dims[2] = {0, 0};
    lcf_status status = lcf_check_array(&candidates, NULL, b, "candidates", LCF_U32, 1, err);

    if (!status)
        status = lcf_check_array(&masked, NULL, b, "seen_masked", LCF_U8, 1, err);
    if (!status)
        status = lcf_check_array(&row, &r->rows_n, b, "row", LCF_U64, SIZE_MAX, err);
    if (!status)
        status = lcf_check_array(&user, NULL, b, "user", LCF_U32, r->rows_n, err);
    if (!status)
        status = lcf_check_array(&item, NULL, b, "item", LCF_U32, r->rows_n, err);
    if (!status)
        status = lcf_check_array(&seeds, &r->seeds_n, b, "seeds", LCF_U64, SIZE_MAX, err);
    if (!status)
        status = lcf_bundle_get(&ranks, b, "ranks", LCF_U32, dims, 2, err);
    if (status)
        return status;
    if (dims[0] != r->seeds_n || dims[1] != r->rows_n)
        return LCF_FAIL(err, LCF_EFORMAT, "ranks is [%zu, %zu], [%zu, %zu] belongs there",
                        (size_t)dims[0], (size_t)dims[1], r->seeds_n, r->rows_n);
    r->candidates_n = *(const uint32_t *)candidates;
    r->seen_masked = *(const uint8_t *)masked != 0;
    r->row = row;
    r->user = user;
    r->item = item;
    r->seeds = seeds;
    r->ranks = ranks;
    return check_values(r, err);
}

lcf_status lcf_ranks_open(lcf_ranks *out, const char *path, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, "ranks", LCF_RANKS_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_ranks_close(out);
    }
    return status;
}

void lcf_ranks_close(lcf_ranks *r)
{
    lcf_bundle_close(r->bundle);
    memset(r, 0, sizeof(*r));
}

static lcf_status write_arrays(lcf_bundle_writer *w, const lcf_ranks *r, lcf_err *err)
{
    const uint64_t dims[2] = {r->seeds_n, r->rows_n};
    lcf_status status = lcf_bundle_add_1d(w, "candidates", LCF_U32, 1, &r->candidates_n, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "seen_masked", LCF_U8, 1, &r->seen_masked, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "row", LCF_U64, r->rows_n, r->row, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "user", LCF_U32, r->rows_n, r->user, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "item", LCF_U32, r->rows_n, r->item, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "seeds", LCF_U64, r->seeds_n, r->seeds, err);
    if (!status)
        status = lcf_bundle_add(w, "ranks", LCF_U32, dims, 2, r->ranks, err);
    return status;
}

lcf_status lcf_ranks_save(const char *path, const lcf_ranks *r, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = check_values(r, err);

    if (!status)
        status = lcf_bundle_create(&w, path, "ranks", LCF_RANKS_VERSION, err);
    if (status)
        return status;
    status = write_arrays(w, r, err);
    return lcf_bundle_finish(w, status, err);
}
