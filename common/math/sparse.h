/*
 * Sparse matrices by rows, and what graph convolutions make of them.
 *
 * Nothing allocates but what says so; the same bits on every run for the same arguments.
 */
#ifndef LCF_COMMON_MATH_SPARSE_H
#define LCF_COMMON_MATH_SPARSE_H

#include <stddef.h>
#include <stdint.h>

/* Row i has value[e] in column column[e] for e in [begin[i], begin[i + 1]). */
typedef struct lcf_csr {
    size_t rows_n;
    const uint32_t *begin;  /* [rows_n + 1] */
    const uint32_t *column; /* [begin[rows_n]] */
    const float *value;     /* [begin[rows_n]] */
} lcf_csr;

/*
 * y = x + A z.
 *
 * shapes   y, x [rows_n, d]; z [columns, d]; y may be x, and overlaps nothing else
 * order    x, then the row's elements as they stand
 */
void lcf_csr_multiply_add(float *y, const lcf_csr *a, const float *x, const float *z, size_t d);

/* A graph between two kinds of nodes, both ways: by_right is by_left transposed. */
typedef struct lcf_bipartite {
    lcf_csr by_left, by_right;
} lcf_bipartite;

/*
 * The mean of the layers 0 .. layers_n of a light graph convolution, layer k + 1 being the
 * adjacency matrix times layer k, for all nodes at once, the left ones first. The matrix is
 * symmetric, so the same is the gradient of layer 0 from that of the result.
 *
 * shapes   left [left rows, d], right [right rows, d]; a, b [left + right rows, d] room
 * returns  the result: a or b
 * source   He et al. 2020 (LightGCN), equations 3 and 4 with all alphas equal
 */
float *lcf_bipartite_propagate(float *a, float *b, const lcf_bipartite *graph, const float *left,
                               const float *right, size_t d, size_t layers_n);

#endif
