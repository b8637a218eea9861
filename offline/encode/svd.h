/*
 * Truncated singular value decomposition of a sparse matrix by a randomised range finder.
 *
 * source   Halko, Martinsson and Tropp 2011, algorithms 4.4 (subspace iteration) and 5.1
 */
#ifndef LCF_OFFLINE_ENCODE_SVD_H
#define LCF_OFFLINE_ENCODE_SVD_H

#include "common/base/pool.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Compressed rows. The caller owns the arrays. */
typedef struct lcf_sparse {
    size_t rows, cols;
    const uint64_t *begin; /* [rows + 1] into col and value */
    const uint32_t *col;   /* each < cols, once per row */
    const float *value;
} lcf_sparse;

/*
 * The right singular vectors of the largest singular values: A ~ U diag(sigma) V^T.
 *
 * shapes   v [cols, dim], column j the j-th vector, its largest component positive; sigma [dim]
 *          falling. Beyond the numerical rank both are zero.
 * order    the same bits at any number of threads
 * errors   EINVAL an empty matrix, or one beyond 2^31 rows or columns; ENOMEM
 * cost     2 + 2 * iterations products of A or A^T with a matrix of dim + 16 columns
 */
lcf_status lcf_svd_truncated(float *v, float *sigma, const lcf_sparse *a, size_t dim,
                             size_t iterations, uint64_t seed, lcf_pool *pool, lcf_err *err);

#endif
