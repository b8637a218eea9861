/*
 * A flat inner-product index over f32 rows. Behind this header stands the only file that sees
 * FAISS; its C++ exceptions end there as statuses.
 *
 * Immutable after create/load; searching is thread-safe and opens no threads.
 */
#ifndef LCF_COMMON_STORE_FAISS_INDEX_H
#define LCF_COMMON_STORE_FAISS_INDEX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "common/base/status.h"

typedef struct lcf_faiss lcf_faiss;

/* shapes: rows [n, dim], copied */
lcf_status lcf_faiss_create(lcf_faiss **out, const float *rows, size_t n, size_t dim, lcf_err *err);
void lcf_faiss_free(lcf_faiss *index); /* NULL is fine */
/* *out is FAISS's own serialisation ("IxFI"), the content of an index file; free() releases it. */
lcf_status lcf_faiss_serialize(uint8_t **out, size_t *out_bytes, const lcf_faiss *index,
                               lcf_err *err);
/* Bytes must be trusted: their hash was checked. errors: EFORMAT of another kind or shape */
lcf_status lcf_faiss_load(lcf_faiss **out, const uint8_t *bytes, size_t bytes_n, size_t n,
                          size_t dim, lcf_err *err);
/* [n, dim], as stored. */
const float *lcf_faiss_rows(const lcf_faiss *index);

/*
 * The k rows of the largest inner product among the first `prefix` rows, best first.
 *
 * shapes   rows [n, k], -1 where there are fewer; scores [n, k]; queries [n, dim]; k >= 1
 * order    as BLAS sums: scores may differ in their last bits from run to run of another batch size
 */
lcf_status lcf_faiss_search(int64_t *rows, float *scores, const lcf_faiss *index,
                            const float *queries, size_t n, size_t k, size_t prefix, lcf_err *err);

#ifdef __cplusplus
}
#endif

#endif
