/* The bf16 kernels behind product.h and bf16_layer.h, as a table: portable ones, and AVX512-BF16.
 * Private to common/math. */
#ifndef LCF_COMMON_MATH_BF16_H
#define LCF_COMMON_MATH_BF16_H

#include "common/math/bf16_layer.h"

#define LCF_HALF_ONE 0x1p15f /* what 1 is kept as: smaller numbers find room below */

typedef struct lcf_bf16 {
    /* y = x rounded to nearest even; NaN stays NaN. */
    void (*round)(uint16_t *y, const float *x, size_t n);
    /* y[2 i] = a[i], y[2 i + 1] = b[i], rounded. */
    void (*pair)(uint16_t *y, const float *a, const float *b, size_t n);
    /* A panel of B [k, LCF_PANEL], row-major: pairs of rows. */
    void (*panel)(uint16_t *panel, const float *b, size_t ldb, size_t k);
    /* A panel of n columns of a left operand's k rows. */
    void (*panel_of_left)(uint16_t *panel, const uint16_t *left, size_t ld, size_t k, size_t n);
    /* m rows of a against one panel, of which n columns are C's, from `column` on; k is even. */
    void (*product)(const lcf_bf16_end *end, size_t column, const uint16_t *a, size_t lda,
                    const uint16_t *panel, size_t m, size_t n, size_t k);
    /* C [m, n] = A^T B, or that is added, of one panel each; k is even. */
    void (*across)(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t m, size_t n,
                   size_t k, bool add);
    /* sums [n] += those of the columns of a panel; k is even. */
    void (*column_sums)(float *sums, const uint16_t *panel, size_t n, size_t k);
    /* What becomes of sums [rows, LCF_PANEL], those of C's rows from `row` and columns from
     * `column` on, n of these. */
    void (*end)(const lcf_bf16_end *end, size_t row, size_t column, const float *sums, size_t rows,
                size_t n);
    /* kept = LCF_HALF_ONE * softmax(x) in half precision; NULL: not wanted. x is used up. Returns
     * the log of the sum of exponentials. */
    float (*softmax)(uint16_t *kept, float *x, size_t n);
    /* y = scale * x, which is in half precision, rounded. */
    void (*of_half)(uint16_t *y, const uint16_t *x, float scale, size_t n);
} lcf_bf16;

extern const lcf_bf16 lcf_bf16_portable;
#if defined(__x86_64__)
extern const lcf_bf16 lcf_bf16_avx512;
#endif

/* The table in use. */
const lcf_bf16 *lcf_bf16_get(void);

#endif
