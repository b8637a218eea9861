/*
 * Small networks over many cases at once: a feature is a row, and the cases lie side by side in its
 * columns, LCF_COLUMNS of them abreast. What is a sum along a row of features elsewhere (norms,
 * attention, softmax) is here a sum of rows: no case waits for its own last step, and no lane is
 * lost to short sequences, small heads or odd sizes.
 *
 * A matrix [features, n] has ld floats between its rows; n is a multiple of LCF_COLUMNS. Every case
 * goes through the same steps in the same order whatever lies beside it: the same bits.
 */
#ifndef LCF_COMMON_MATH_COLUMNS_H
#define LCF_COMMON_MATH_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#define LCF_COLUMNS 16 /* a multiple of every vector's width */

/* Cases as they lie elsewhere, each in one piece, become columns, and columns cases. shapes: x
 * [features, LCF_COLUMNS]; cases [LCF_COLUMNS], each of `features` floats */
void lcf_columns_gather(float *x, size_t ldx, const float *const *cases, size_t features);
void lcf_columns_scatter(float *const *cases, const float *x, size_t ldx, size_t features);
/*
 * y = w x, or y += w x with `add`.
 *
 * shapes   y [out, n] with ldy floats between rows; x [in, n] likewise with ldx; w [out, in]
 * order    a sum goes over `in` in order
 */
void lcf_columns_linear(float *y, size_t ldy, const float *x, size_t ldx, const float *w, size_t n,
                        size_t in, size_t out, bool add);

/* y = x / sqrt(mean of x^2 + eps) * w for every column. shapes: y, x [features, n]; w [features] */
void lcf_columns_rmsnorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                         size_t features, size_t n, float eps);

/* The sequences of LCF_COLUMNS cases: token t of case c is column t * LCF_COLUMNS + c. */
typedef struct lcf_columns_shape {
    size_t heads, head_dim; /* head_dim is even */
    size_t begin, end;      /* the tokens in question */
} lcf_columns_shape;

/*
 * RoPE in place of tokens begin .. end, times `scale`.
 *
 * shapes   x [heads * head_dim, (end - begin) * LCF_COLUMNS]; cos_sin [tokens, head_dim] as
 *          lcf_rope_angles gives them for positions 0, 1, ...
 */
void lcf_columns_rope(float *x, size_t ldx, const float *cos_sin, const lcf_columns_shape *shape,
                      float scale);
/*
 * Causal attention of tokens begin .. end, each over the tokens up to and with itself. Queries and
 * keys are rotated, queries scaled as well.
 *
 * shapes   q [heads * head_dim, (end - begin) * LCF_COLUMNS]; k likewise of all tokens 0 .. end;
 *          v of all tokens: with `whole` every head weighs all of its `width` rows, and out has
 *          heads * width rows; else width is head_dim, a head weighs its own, and out is as q.
 *          scratch [end * LCF_COLUMNS]
 */
void lcf_columns_attend(float *out, size_t ldo, const float *q, size_t ldq, const float *k,
                        size_t ldk, const float *v, size_t ldv, const lcf_columns_shape *shape,
                        size_t width, bool whole, float *scratch);

#endif
