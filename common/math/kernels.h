/*
 * Numeric kernels over f32. Each has a reference twin in reference.h that tests hold it to.
 *
 * Outputs first, shapes last. Matrices are row-major and dense unless a leading dimension is named.
 * Nothing allocates. Every kernel gives the same bits on every run for the same arguments; none
 * starts threads.
 */
#ifndef LCF_COMMON_MATH_KERNELS_H
#define LCF_COMMON_MATH_KERNELS_H

#include "common/math/product.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * C = alpha * op(A) op(B) + beta * C, op = transpose when asked. op(A) [m, k], op(B) [k, n], C [m,
 * n]. ld*: elements between rows as stored. By OpenBLAS or our own product, whichever is faster at
 * the shape. source: BLAS sgemm.
 */
void lcf_gemm(float *c, const float *a, const float *b, bool transpose_a, bool transpose_b,
              size_t m, size_t n, size_t k, float alpha, float beta, size_t lda, size_t ldb,
              size_t ldc);
/* y [n, out] = x [n, in] w [out, in]^T (+ bias [out] when not NULL): the layer of every network
 * here. */
void lcf_linear(float *y, const float *x, const float *w, const float *bias, size_t n, size_t in,
                size_t out);
/* y[j] = scale[j] <x, w[j]>, of rows that were rounded to 16 bits. shapes: y, scale [out]; x [in];
 * w [out, in] */
void lcf_rounded_products(float *y, const float *x, const int16_t *w, const float *scale, size_t in,
                          size_t out);
float lcf_dot(const float *a, const float *b, size_t n);
/* y += a * x */
void lcf_axpy(float *y, float a, const float *x, size_t n);
/* sums[i % LCF_SQUARE_SUMS] += x[i]^2, in the order of i, the same bits at every level: a float's
 * square is exact in a double. */
#define LCF_SQUARE_SUMS 16
void lcf_square_sums(double *sums, const float *x, size_t n);
/* In place over each of the rows. */
void lcf_softmax(float *x, size_t rows, size_t n);
/* y [rows, n] = x / sqrt(mean(x^2) + eps) * w. source: RMSNorm, Zhang and Sennrich 2019 */
void lcf_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps);
/* y [rows, n] = (x - mean) / sqrt(variance + eps) * w + bias. source: LayerNorm, Ba et al. 2016 */
void lcf_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                   size_t n, float eps);
/* y = silu(gate) * up, elementwise; y may be gate. source: SwiGLU, Shazeer 2020 */
void lcf_swiglu(float *y, const float *gate, const float *up, size_t n);
/*
 * y = dropout(x): value i is 0 where lot `first` + i of the stream `key` is below `limit`, i.e.
 * with probability limit / 2^32, else scale * x[i]; y may be x. Lots are hashes of a counter, so
 * that the backward pass and any division among threads draw them again. source: dropout,
 * Srivastava et al. 2014; the hash's constants: hash-prospector, Wellons 2018
 */
void lcf_dropout(float *y, const float *x, size_t n, uint64_t key, uint32_t first, uint32_t limit,
                 float scale);
/* The table of one position for lcf_rope_rotate: cos and sin of position * theta^(-2i / head_dim),
 * the angle of pair i, at cos_sin[2i], [2i + 1]; cos_sin [head_dim]. */
void lcf_rope_angles(float *cos_sin, size_t head_dim, size_t position, float theta);
/*
 * Rotates the pairs (2i, 2i + 1) of each head by the table, in place; inverse turns back (the
 * gradient of a rotation). shapes: x [heads, head_dim]. source: RoPE, interleaved pairs (the layout
 * of GGUF's llama).
 */
void lcf_rope_rotate(float *x, size_t heads, size_t head_dim, const float *cos_sin, bool inverse);
/* Scales x to unit L2 norm; zeros stay zeros. */
void lcf_normalize(float *x, size_t n);
/* Whether there is neither NaN nor an infinity: what opening asks of every vector of a file. */
bool lcf_all_finite(const float *x, size_t n);
/* y = exp(x), 1 / (1 + exp(-x)), tanh(x), elementwise; y may be x. Within 4e-7 relative (exp, for
 * |x| <= 87; beyond that clamped) or absolute. */
void lcf_exp(float *y, const float *x, size_t n);
void lcf_exp_shifted(float *x, float shift, size_t n); /* x = exp(x - shift) */
void lcf_sigmoid(float *y, const float *x, size_t n);
void lcf_tanh(float *y, const float *x, size_t n);
/* y = x where x is positive, else 0; y may be x. */
void lcf_relu(float *y, const float *x, size_t n);
/* y = x * (1 + erf(x / sqrt(2))) / 2, elementwise; y may be x. Within 4e-7 times |x|. source: GELU,
 * Hendrycks and Gimpel 2016 */
void lcf_gelu(float *y, const float *x, size_t n);

/* ---- attention and backward kernels: what training needs ---- */

/*
 * Causal grouped-query attention over `batch` sequences of `t` tokens. A token sees the tokens up
 * to itself that are of its own segment (segments NULL: all). Scores are scaled by 1 /
 * sqrt(head_dim).
 */
typedef struct lcf_attention_shape {
    size_t batch, t, heads, kv_heads, head_dim;
    const uint32_t *segments; /* [batch * t] or NULL */
    lcf_precision precision;  /* of its products */
} lcf_attention_shape;

/* Floats of scratch that lcf_attention and lcf_attention_backward want. */
size_t lcf_attention_scratch_n(const lcf_attention_shape *shape);
/*
 * shapes   out [batch, t, heads, head_dim]; lse [batch, heads, t] log of each row's sum of
 * exponentials, for the backward pass; q as out; k, v [batch, t, kv_heads, head_dim]
 * source   Ainslie et al. 2023 (GQA); blocks of rows and recomputation as in Dao et al. 2022
 */
void lcf_attention(float *out, float *lse, const float *q, const float *k, const float *v,
                   const lcf_attention_shape *shape, float *scratch);
/* ADDS to dq, dk, dv; each may be NULL. out and lse are those of the forward pass. */
void lcf_attention_backward(float *dq, float *dk, float *dv, const float *dout, const float *out,
                            const float *lse, const float *q, const float *k, const float *v,
                            const lcf_attention_shape *shape, float *scratch);
/* The same for the key-value heads [kv_first, kv_first + kv_n) and the query heads that share them,
 * so that threads can share a call, each with scratch of its own. */
void lcf_attention_part(float *out, float *lse, const float *q, const float *k, const float *v,
                        const lcf_attention_shape *shape, size_t kv_first, size_t kv_n,
                        float *scratch);
void lcf_attention_backward_part(float *dq, float *dk, float *dv, const float *dout,
                                 const float *out, const float *lse, const float *q, const float *k,
                                 const float *v, const lcf_attention_shape *shape, size_t kv_first,
                                 size_t kv_n, float *scratch);

/*
 * dy [rows, n] is set to 0 where y [rows, n] is not positive (y NULL: left alone), then its column
 * sums are ADDED to db [n] (may be NULL): what a linear layer with ReLU does before its products.
 */
void lcf_bias_backward(float *db, float *dy, const float *y, size_t rows, size_t n);
/* ADDS to dx [rows, n] and dw [n]; each may be NULL. */
void lcf_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w,
                          size_t rows, size_t n, float eps);
/* ADDS to dx [rows, n], dw [n] and dbias [n]; each may be NULL. */
void lcf_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                            const float *w, size_t rows, size_t n, float eps);
/* ADDS to dgate and dup; each may be NULL. */
void lcf_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                         const float *up, size_t n);
/* dx += dy * the derivative of gelu at x. */
void lcf_gelu_backward(float *dx, const float *dy, const float *x, size_t n);
/*
 * -log softmax(logits)[target] of one row; when grad is not NULL: grad = scale * (softmax(logits) -
 * one_hot(target)). shapes: logits, grad [n].
 */
float lcf_cross_entropy(float *grad, const float *logits, size_t target, size_t n, float scale);

typedef struct lcf_adam_scalars {
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float step_size, root_bias2, eps; /* lr / (1 - beta1^t); sqrt(1 - beta2^t) */
    float shrink, l2;                 /* value *= shrink first; gradient += l2 * value */
    float grad_scale;                 /* gradient *= grad_scale before all else */
} lcf_adam_scalars;
/* One Adam update of n values and their moments; grad NULL: zeros. source: torch.optim.Adam, AdamW
 * (order of arithmetic). */
void lcf_adam_kernel(float *values, float *m, float *v, const float *grad, size_t n,
                     const lcf_adam_scalars *s);

/* ---- which code runs ---- */

typedef enum lcf_simd_level { LCF_SIMD_BASELINE, LCF_SIMD_AVX2, LCF_SIMD_AVX512 } lcf_simd_level;
/* The best this processor has; the kernels use it unless a lower one was forced. */
lcf_simd_level lcf_simd_best(void);
/* For tests and measurements: the kernels of this level (at most lcf_simd_best) from now on, in all
 * threads. */
void lcf_simd_force(lcf_simd_level level);

/* The name of OpenBLAS's core in use, e.g. "SkylakeX"; false in *fast when it is a fallback
 * (Prescott, generic). */
const char *lcf_blas_core(bool *fast);

#endif
