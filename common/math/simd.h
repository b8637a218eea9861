/*
 * The kernels that are compiled once per instruction set, as a table. simd_impl.h is the one
 * source; simd_baseline.c, simd_avx2.c and simd_avx512.c compile it. Private to common/math.
 */
#ifndef LCF_COMMON_MATH_SIMD_H
#define LCF_COMMON_MATH_SIMD_H

#include "common/math/columns.h"
#include "common/math/hamming.h"
#include "common/math/kernels.h"
#include "common/math/rows.h"
#include "common/math/short_attention.h"
#include "common/math/sparse.h"

typedef struct lcf_simd {
    size_t width; /* floats per vector */
    /*
     * C [m, n] = alpha * A B (+ C when accumulate) for small or thin products, without packing.
     * a[i * a_row + p * a_col] is element (i, p) of A [m, k]; B [k, n] and C have contiguous rows.
     */
    void (*tile_gemm)(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                      const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                      bool accumulate);
    /*
     * C [m, n] = alpha * A B (+ C when accumulate) for products of any shape; as tile_gemm, with
     * b[p * b_row + j * b_col] element (p, j) of B. Panels of B are packed on the stack.
     */
    void (*gemm)(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col, const float *b,
                 size_t b_row, size_t b_col, size_t m, size_t n, size_t k, float alpha,
                 bool accumulate);
    void (*linear_few)(float *y, const float *x, const float *w, const float *bias, size_t n,
                       size_t in, size_t out);
    void (*rounded_products)(float *y, const float *x, const int16_t *w, const float *scale,
                             size_t in, size_t out);
    void (*packed_linear)(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                          const float *bias, size_t n, size_t in, size_t out, unsigned flags);
    void (*columns_rmsnorm)(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                            size_t features, size_t n, float eps);
    void (*columns_rope)(float *x, size_t ldx, const float *cos_sin, const lcf_columns_shape *shape,
                         float scale);
    void (*columns_attend)(float *out, size_t ldo, const float *q, size_t ldq, const float *k,
                           size_t ldk, const float *v, size_t ldv, const lcf_columns_shape *shape,
                           size_t width, bool whole, float *scratch);
    void (*columns_gather)(float *x, size_t ldx, const float *const *cases, size_t features);
    void (*columns_scatter)(float *const *cases, const float *x, size_t ldx, size_t features);
    /* out[c * ldo + r] = x[r * ldx + c] */
    void (*transpose)(float *out, size_t ldo, const float *x, size_t ldx, size_t rows, size_t cols);
    void (*bias_backward)(float *db, float *dy, const float *y, size_t rows, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*square_sums)(double *sums, const float *x, size_t n);
    void (*rows_gather)(const lcf_rows *r, float *y, size_t ldy, const float *table, size_t width);
    void (*rows_sum)(float *y, size_t ldy, const lcf_rows_part *parts, size_t parts_n, size_t n,
                     size_t width);
    void (*rows_scatter)(const lcf_rows *r, float *table, const float *dy, size_t ldy, size_t width,
                         size_t first);
    void (*hamming)(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n,
                    size_t bytes);
    void (*csr_multiply_add)(float *y, const lcf_csr *a, const float *x, const float *z, size_t d);
    void (*exp)(float *y, const float *x, size_t n);
    void (*sigmoid)(float *y, const float *x, size_t n);
    void (*tanh)(float *y, const float *x, size_t n);
    void (*relu)(float *y, const float *x, size_t n);
    /* Row softmax in place; returns max + log(sum of exponentials). n = 0 is not allowed. */
    float (*softmax_row)(float *x, size_t n);
    /* x[i] = exp(x[i] - shift) */
    void (*exp_shifted)(float *x, float shift, size_t n);
    void (*rope_rotate)(float *x, size_t heads, size_t head_dim, const float *cos_sin,
                        bool inverse);
    void (*short_forward)(float *out, float *kept, const float *q, const float *k, const float *v,
                          const lcf_short_attention *a, float *scratch);
    void (*short_backward)(float *dq, float *dk, float *dv, const float *dout, const float *kept,
                           const float *q, const float *k, const float *v,
                           const lcf_short_attention *a, float *scratch);
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t rows, size_t n, float eps);
    void (*rmsnorm_backward)(float *dx, float *dw, const float *dy, const float *x, const float *w,
                             size_t rows, size_t n, float eps);
    void (*layernorm)(float *y, const float *x, const float *w, const float *bias, size_t rows,
                      size_t n, float eps);
    void (*layernorm_backward)(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                               const float *w, size_t rows, size_t n, float eps);
    void (*dropout)(float *y, const float *x, size_t n, uint64_t key, uint32_t first, uint32_t limit,
                    float scale);
    void (*swiglu)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                            const float *up, size_t n);
    /* ds[i] = p[i] * (ds[i] - delta) * scale */
    void (*softmax_grad)(float *ds, const float *p, float delta, float scale, size_t n);
    float (*cross_entropy)(float *grad, const float *logits, size_t target, size_t n, float scale);
    void (*adam)(float *values, float *m, float *v, const float *grad, size_t n,
                 const lcf_adam_scalars *s);
} lcf_simd;

extern const lcf_simd lcf_simd_baseline;
#if defined(__x86_64__)
extern const lcf_simd lcf_simd_avx2;
extern const lcf_simd lcf_simd_avx512;
#endif

/* The table in use. */
const lcf_simd *lcf_simd_get(void);

#endif
