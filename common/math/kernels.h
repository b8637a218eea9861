/*
 * Numeric kernels over f32. Each has a reference twin in reference.h that tests hold it to.
 *
 * Outputs first, shapes last. Matrices are row-major and dense unless a leading dimension is named.
 * Nothing allocates. Every kernel gives the same bits on every run for the same arguments; none
 * starts threads.
 */
#ifndef LCF_COMMON_MATH_KERNELS_H
#define LCF_COMMON_MATH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * C = alpha * op(A) op(B) + beta * C, op = transpose when asked. op(A) [m, k], op(B) [k, n], C [m,
 * n]. ld*: elements between rows as stored. source: BLAS sgemm, through OpenBLAS.
 */
void lcf_gemm(float *c, const float *a, const float *b, bool transpose_a, bool transpose_b,
              size_t m, size_t n, size_t k, float alpha, float beta, size_t lda, size_t ldb,
              size_t ldc);
/* y [n, out] = x [n, in] w [out, in]^T (+ bias [out] when not NULL): the layer of every network
 * here. */
void lcf_linear(float *y, const float *x, const float *w, const float *bias, size_t n, size_t in,
                size_t out);
float lcf_dot(const float *a, const float *b, size_t n);
/* y += a * x */
void lcf_axpy(float *y, float a, const float *x, size_t n);
/* In place over each of the rows. */
void lcf_softmax(float *x, size_t rows, size_t n);
/* y [rows, n] = x / sqrt(mean(x^2) + eps) * w. source: RMSNorm, Zhang and Sennrich 2019 */
void lcf_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps);
/* y = silu(gate) * up, elementwise. source: SwiGLU, Shazeer 2020 */
void lcf_swiglu(float *y, const float *gate, const float *up, size_t n);
/*
 * Rotates the pairs (2i, 2i + 1) of each head by position * theta^(-2i / head_dim), in place.
 * shapes: x [heads, head_dim]. source: RoPE, interleaved pairs (the layout of GGUF's llama).
 */
void lcf_rope(float *x, size_t heads, size_t head_dim, size_t position, float theta);
/* Scales x to unit L2 norm; zeros stay zeros. */
void lcf_normalize(float *x, size_t n);

/* The name of OpenBLAS's core in use, e.g. "SkylakeX"; false in *fast when it is a fallback
 * (Prescott, generic). */
const char *lcf_blas_core(bool *fast);

#endif
