/* Range checks of bundle arrays: see check.h. */
#include "common/data/check.h"

#include <inttypes.h>

lcf_status lcf_check_array(const void **data, size_t *n_out, const lcf_bundle *bundle,
                           const char *name, lcf_dtype dtype, size_t n, lcf_err *err)
{
    uint64_t dims[1] = {0};
    lcf_status status = lcf_bundle_get(data, bundle, name, dtype, dims, 1, err);

    if (status)
        return status;
    if (n != SIZE_MAX && dims[0] != n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s has %" PRIu64 " elements, %zu belong there", name,
                        dims[0], n);
    if (n_out)
        *n_out = (size_t)dims[0];
    return LCF_OK;
}

lcf_status lcf_check_u32_below(const uint32_t *values, size_t n, uint32_t limit, const char *name,
                               lcf_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] >= limit)
            return LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is %" PRIu32 ", it must be below %" PRIu32,
                            name, i, values[i], limit);
    return LCF_OK;
}

lcf_status lcf_check_offsets(const uint64_t *offsets, size_t n, size_t end, const char *name,
                             lcf_err *err)
{
    if (offsets[0] != 0)
        return LCF_FAIL(err, LCF_EFORMAT, "%s[0] is %" PRIu64 ", not 0", name, offsets[0]);
    for (size_t i = 0; i < n; i++)
        if (offsets[i + 1] < offsets[i] || offsets[i + 1] > end)
            return LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is %" PRIu64 ", out of range", name, i + 1,
                            offsets[i + 1]);
    if (offsets[n] != end)
        return LCF_FAIL(err, LCF_EFORMAT, "%s ends at %" PRIu64 ", not at %zu", name, offsets[n],
                        end);
    return LCF_OK;
}

lcf_status lcf_check_labels(const uint8_t *labels, size_t n, const char *name, lcf_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (labels[i] > 1)
            return LCF_FAIL(err, LCF_EFORMAT, "%s[%zu] is %u, neither 0 nor 1", name, i,
                            (unsigned)labels[i]);
    return LCF_OK;
}
