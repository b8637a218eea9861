/* The bf16 kernels behind product.h, as a table: portable ones, and AVX512-BF16. Private to
 * common/math. */
#ifndef LCF_COMMON_MATH_BF16_H
#define LCF_COMMON_MATH_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_bf16 {
    /* y = x rounded to nearest even; NaN stays NaN. */
    void (*round)(uint16_t *y, const float *x, size_t n);
    /* y[2 i] = a[i], y[2 i + 1] = b[i], rounded. */
    void (*pair)(uint16_t *y, const float *a, const float *b, size_t n);
    /* A panel of B [k, LCF_PANEL], row-major: pairs of rows. */
    void (*panel)(uint16_t *panel, const float *b, size_t ldb, size_t k);
    /* As lcf_product; m rows of a against one panel, of which n columns are C's. */
    void (*product)(float *c, size_t ldc, const uint16_t *a, size_t lda, const uint16_t *panel,
                    size_t m, size_t n, size_t k, bool add);
    /* Saturating at +-65504; NaN stays NaN. */
    void (*to_half)(uint16_t *y, const float *x, size_t n);
    void (*from_half)(float *y, const uint16_t *x, size_t n);
} lcf_bf16;

extern const lcf_bf16 lcf_bf16_portable;
#if defined(__x86_64__)
extern const lcf_bf16 lcf_bf16_avx512;
#endif

#endif
