/*
 * What a linear map's forward and backward pass is made of in bf16: products whose sums meet a
 * bias, ReLU or its mask on their way, and the gradient of weights from operands that need no
 * turning.
 *
 * Operands are those of product.h in bf16. A value is rounded once, where it is written: as a row
 * of a left operand; panels of the same rows are made of these without rounding again.
 */
#ifndef LCF_COMMON_MATH_BF16_LAYER_H
#define LCF_COMMON_MATH_BF16_LAYER_H

#include "common/math/product.h"

/* What becomes of the sums of a product, in this order; what is NULL or false does not happen. */
typedef struct lcf_bf16_end {
    const float *bias; /* [n] added */
    const float *onto; /* [m, onto_ld] added; may be c */
    size_t onto_ld;
    bool relu;            /* negative ones become 0 */
    const uint16_t *mask; /* [m, mask_ld] a left operand: sums are 0 where it is not above 0 */
    size_t mask_ld;
    float *c; /* [m, c_ld] where they are written */
    size_t c_ld;
    uint16_t *left; /* [m, left_ld] where they are written as a left operand; n may be odd */
    size_t left_ld;
    lcf_ahead *ahead; /* asked for meanwhile */
} lcf_bf16_end;

/* A [m, k] B, k as the panels were made for. */
void lcf_bf16_product(const lcf_bf16_end *end, const uint16_t *a, size_t lda,
                      const uint16_t *panels, size_t m, size_t n, size_t k);
/* Panels of B [k, n], whose rows stand as those of a left operand [k, ld]. */
void lcf_bf16_panels_of_left(uint16_t *panels, const uint16_t *left, size_t ld, size_t k, size_t n);
/* C [m, n] = A^T B, or C + A^T B, with panels of both A [k, m] and B [k, n]. */
void lcf_bf16_across(float *c, size_t ldc, const uint16_t *a_panels, const uint16_t *b_panels,
                     size_t m, size_t n, size_t k, bool add);
/* sums [n] += sums of the columns of B [k, n]. */
void lcf_bf16_column_sums(float *sums, const uint16_t *panels, size_t k, size_t n);

#endif
