/*
 * An inner-product index over f32 rows. Behind this header stands the only file that sees FAISS;
 * its C++ exceptions end there as statuses.
 *
 * Immutable after create/load but for lcf_faiss_set; searching is thread-safe and opens no threads.
 * Inner products are those of lcf_example_dot, so that an index has the same bytes on every
 * machine.
 */
#ifndef LCF_COMMON_STORE_FAISS_INDEX_H
#define LCF_COMMON_STORE_FAISS_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "common/base/status.h"

typedef enum lcf_faiss_kind {
    LCF_FAISS_FLAT = 0, /* all rows, exactly */
    LCF_FAISS_HNSW = 1, /* a graph of neighbours, 32 links a row, made with a beam of 80 */
    LCF_FAISS_IVF = 2,  /* rows by 2 sqrt(n) cells; a file's are mapped, not read */
    LCF_FAISS_SQ8 = 3,  /* all rows in 8 bits a component */
} lcf_faiss_kind;
#define LCF_FAISS_KINDS_N 4
#define LCF_FAISS_ROWS_MIN 256 /* fewer make a flat index whatever the kind */

typedef struct lcf_faiss lcf_faiss;

/* shapes: rows [n, dim], copied */
lcf_status lcf_faiss_create(lcf_faiss **out, lcf_faiss_kind kind, const float *rows, size_t n,
                            size_t dim, lcf_err *err);
void lcf_faiss_free(lcf_faiss *index); /* NULL is fine */
/* *out is FAISS's own serialisation, the content of an index file; free() releases it. */
lcf_status lcf_faiss_serialize(uint8_t **out, size_t *out_bytes, const lcf_faiss *index,
                               lcf_err *err);
/* The file must be trusted: its hash was checked. errors: EFORMAT of another kind or shape */
lcf_status lcf_faiss_load(lcf_faiss **out, lcf_faiss_kind kind, const char *path, size_t n,
                          size_t dim, lcf_err *err);
/* Whether lcf_faiss_grow can take rows out: FAISS cannot take them out of a graph. */
bool lcf_faiss_can_remove(lcf_faiss_kind kind);
/*
 * The index of that file without some of its rows, the others closing up in their order, and with
 * further rows behind them; nothing is trained anew.
 *
 * shapes   rows [n, dim], added; gone [gone_n], rising, each < n_before
 * errors   as load
 */
lcf_status lcf_faiss_grow(lcf_faiss **out, lcf_faiss_kind kind, const char *path, size_t n_before,
                          const uint32_t *gone, size_t gone_n, const float *rows, size_t n,
                          size_t dim, lcf_err *err);
/* How far a search goes: the beam of HNSW, the cells of IVF; nothing for the others. */
void lcf_faiss_set(lcf_faiss *index, size_t setting);

/*
 * The k rows of the largest inner product among the first `prefix` rows, best first. Only a flat
 * index knows of the prefix: others may give rows behind it.
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
