/*
 * Range checks of the arrays of a bundle; private to common/data. Every message names the array and
 * the position.
 */
#ifndef LCF_COMMON_DATA_CHECK_H
#define LCF_COMMON_DATA_CHECK_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A one-dimensional array with n elements; n = SIZE_MAX accepts any number, *n_out (when not NULL)
 * receives it.
 *
 * errors   EFORMAT missing, of another type, or with another number of elements
 */
lcf_status lcf_check_array(const void **data, size_t *n_out, const lcf_bundle *bundle,
                           const char *name, lcf_dtype dtype, size_t n, lcf_err *err);
/* Every element below `limit`. */
lcf_status lcf_check_u32_below(const uint32_t *values, size_t n, uint32_t limit, const char *name,
                               lcf_err *err);
/* offsets [n + 1] start at 0, never fall, and end at `end`. */
lcf_status lcf_check_offsets(const uint64_t *offsets, size_t n, size_t end, const char *name,
                             lcf_err *err);
/* Labels: 0 or 1. */
lcf_status lcf_check_labels(const uint8_t *labels, size_t n, const char *name, lcf_err *err);

#endif
