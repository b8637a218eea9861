/*
 * The naive twins of kernels.h: the definition of each kernel in the shortest loops, sums in
 * double. For tests and for reading; nothing else calls them.
 */
#ifndef LCF_COMMON_MATH_REFERENCE_H
#define LCF_COMMON_MATH_REFERENCE_H

#include "common/math/hamming.h"
#include "common/math/kernels.h"
#include "common/math/sparse.h"

void lcf_ref_gemm(float *c, const float *a, const float *b, bool transpose_a, bool transpose_b,
                  size_t m, size_t n, size_t k, float alpha, float beta, size_t lda, size_t ldb,
                  size_t ldc);
void lcf_ref_linear(float *y, const float *x, const float *w, const float *bias, size_t n,
                    size_t in, size_t out);
float lcf_ref_dot(const float *a, const float *b, size_t n);
void lcf_ref_axpy(float *y, float a, const float *x, size_t n);
void lcf_ref_square_sums(double *sums, const float *x, size_t n);
void lcf_ref_hamming(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n,
                     size_t bytes);
void lcf_ref_csr_multiply_add(float *y, const lcf_csr *a, const float *x, const float *z, size_t d);
void lcf_ref_softmax(float *x, size_t rows, size_t n);
void lcf_ref_gelu(float *y, const float *x, size_t n);
void lcf_ref_gelu_backward(float *dx, const float *dy, const float *x, size_t n);
void lcf_ref_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                       size_t n, float eps);
void lcf_ref_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                                const float *w, size_t rows, size_t n, float eps);
void lcf_ref_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps);
void lcf_ref_dropout(float *y, const float *x, size_t n, uint64_t key, uint32_t first, double p);
void lcf_ref_swiglu(float *y, const float *gate, const float *up, size_t n);
void lcf_ref_rope(float *x, size_t heads, size_t head_dim, size_t position, float theta);
void lcf_ref_normalize(float *x, size_t n);
void lcf_ref_exp(float *y, const float *x, size_t n);
void lcf_ref_sigmoid(float *y, const float *x, size_t n);
void lcf_ref_tanh(float *y, const float *x, size_t n);
void lcf_ref_relu(float *y, const float *x, size_t n);
void lcf_ref_attention(float *out, const float *q, const float *k, const float *v,
                       const lcf_attention_shape *shape);
void lcf_ref_attention_backward(float *dq, float *dk, float *dv, const float *dout, const float *q,
                                const float *k, const float *v, const lcf_attention_shape *shape);
void lcf_ref_bias_backward(float *db, float *dy, const float *y, size_t rows, size_t n);
void lcf_ref_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w,
                              size_t rows, size_t n, float eps);
void lcf_ref_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                             const float *up, size_t n);
float lcf_ref_cross_entropy(float *grad, const float *logits, size_t target, size_t n, float scale);
void lcf_ref_adam_kernel(float *values, float *m, float *v, const float *grad, size_t n,
                         const lcf_adam_scalars *s);

#endif
