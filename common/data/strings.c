/*
 * String tables: n strings in one block of bytes, with an optional order by bytes to search in.
 *
 * Invariant: a table that came out of lcf_strings_get_from has ascending offsets that end at its
 * last byte, and, where it is sorted, strictly ascending strings (so every index occurs once).
 */
#include "common/data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

lcf_str lcf_strings_get(const lcf_strings *s, size_t idx)
{
    LCF_ASSERT(idx < s->n);
    return (lcf_str){s->chars + s->offsets[idx], (size_t)(s->offsets[idx + 1] - s->offsets[idx])};
}

static int compare(lcf_str a, const char *text, size_t len)
{
    size_t common = a.len < len ? a.len : len;
    int order = common ? memcmp(a.data, text, common) : 0;

    return order ? order : (a.len > len) - (a.len < len);
}

uint32_t lcf_strings_find(const lcf_strings *s, const char *text, size_t len)
{
    size_t low = 0, high = s->n;

    LCF_ASSERT(s->sorted || !s->n);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(lcf_strings_get(s, s->sorted[middle]), text, len);

        if (!order)
            return s->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static lcf_status get_part(const void **data, uint64_t *n, const lcf_bundle *bundle,
                           const char *name, const char *part, lcf_dtype dtype, lcf_err *err)
{
    char full[LCF_BUNDLE_NAME_MAX];
    uint64_t dims[1] = {0};
    lcf_status status;

    if ((size_t)snprintf(full, sizeof(full), "%s.%s", name, part) >= sizeof(full))
        return LCF_FAIL(err, LCF_EINVAL, "string table name '%s' is too long", name);
    status = lcf_bundle_get(data, bundle, full, dtype, dims, 1, err);
    *n = dims[0];
    return status;
}

static lcf_status check_offsets(const lcf_strings *s, uint64_t chars_n, const char *name,
                                lcf_err *err)
{
    if (s->offsets[0] != 0)
        return LCF_FAIL(err, LCF_EFORMAT, "%s.offsets[0] is %" PRIu64 ", not 0", name,
                        s->offsets[0]);
    for (size_t i = 0; i < s->n; i++)
        if (s->offsets[i + 1] < s->offsets[i] || s->offsets[i + 1] > chars_n)
            return LCF_FAIL(err, LCF_EFORMAT, "%s.offsets[%zu] is %" PRIu64 ", out of range", name,
                            i + 1, s->offsets[i + 1]);
    if (s->offsets[s->n] != chars_n)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s.offsets ends at %" PRIu64 ", %s.chars has %" PRIu64 " bytes", name,
                        s->offsets[s->n], name, chars_n);
    return LCF_OK;
}

static lcf_status check_sorted(const lcf_strings *s, const char *name, lcf_err *err)
{
    lcf_str before = {NULL, 0};

    for (size_t i = 0; i < s->n; i++) {
        if (s->sorted[i] >= s->n)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s.sorted[%zu] is %" PRIu32 ", there are %zu strings", name, i,
                            s->sorted[i], s->n);
        lcf_str now = lcf_strings_get(s, s->sorted[i]);
        if (i && compare(before, now.data, now.len) >= 0)
            return LCF_FAIL(err, LCF_EFORMAT, "%s.sorted[%zu] is out of order", name, i);
        before = now;
    }
    return LCF_OK;
}

lcf_status lcf_strings_get_from(lcf_strings *out, const lcf_bundle *bundle, const char *name,
                                bool sorted, lcf_err *err)
{
    const void *offsets = NULL, *chars = NULL, *order = NULL;
    uint64_t offsets_n = 0, chars_n = 0, order_n = 0;
    lcf_strings s;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = get_part(&offsets, &offsets_n, bundle, name, "offsets", LCF_U64, err);
    if (!status)
        status = get_part(&chars, &chars_n, bundle, name, "chars", LCF_U8, err);
    if (!status && sorted)
        status = get_part(&order, &order_n, bundle, name, "sorted", LCF_U32, err);
    if (status)
        return status;
    if (!offsets_n || offsets_n - 1 > UINT32_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%s.offsets has %" PRIu64 " elements", name, offsets_n);
    if (sorted && order_n != offsets_n - 1)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s.sorted has %" PRIu64 " elements for %" PRIu64 " strings", name, order_n,
                        offsets_n - 1);
    s = (lcf_strings){(size_t)(offsets_n - 1), offsets, chars, order};
    status = check_offsets(&s, chars_n, name, err);
    if (!status && sorted)
        status = check_sorted(&s, name, err);
    if (!status)
        *out = s;
    return status;
}

static lcf_status add_part(lcf_bundle_writer *w, const char *name, const char *part,
                           lcf_dtype dtype, uint64_t n, const void *data, lcf_err *err)
{
    char full[LCF_BUNDLE_NAME_MAX];

    if ((size_t)snprintf(full, sizeof(full), "%s.%s", name, part) >= sizeof(full))
        return LCF_FAIL(err, LCF_EINVAL, "string table name '%s' is too long", name);
    return lcf_bundle_add_1d(w, full, dtype, n, data, err);
}

lcf_status lcf_strings_add_to(lcf_bundle_writer *w, const char *name, const lcf_strings *s,
                              lcf_err *err)
{
    lcf_status status;

    status = add_part(w, name, "offsets", LCF_U64, s->n + 1, s->offsets, err);
    if (!status)
        status = add_part(w, name, "chars", LCF_U8, s->offsets[s->n], s->chars, err);
    if (!status && s->sorted)
        status = add_part(w, name, "sorted", LCF_U32, s->n, s->sorted, err);
    return status;
}
