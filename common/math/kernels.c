/*
 * The kernels of kernels.h: OpenBLAS for products that are worth its packing, the table of this
 * processor's instruction set for all else.
 */
#include "common/math/kernels.h"

#include "common/base/status.h"
#include "common/math/simd.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* ---- dispatch ---- */

static const lcf_simd *simd_in_use; /* NULL until the first kernel runs */

lcf_simd_level lcf_simd_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return LCF_SIMD_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return LCF_SIMD_AVX2;
#endif
    return LCF_SIMD_BASELINE;
}

static const lcf_simd *simd_of(lcf_simd_level level)
{
#if defined(__x86_64__)
    if (level == LCF_SIMD_AVX512)
        return &lcf_simd_avx512;
    if (level == LCF_SIMD_AVX2)
        return &lcf_simd_avx2;
#endif
    (void)level;
    return &lcf_simd_baseline;
}

void lcf_simd_force(lcf_simd_level level)
{
    LCF_ASSERT(level <= lcf_simd_best());
    __atomic_store_n(&simd_in_use, simd_of(level), __ATOMIC_RELEASE);
}

const lcf_simd *lcf_simd_get(void)
{
    const lcf_simd *table = __atomic_load_n(&simd_in_use, __ATOMIC_ACQUIRE);

    if (!table) { /* two threads may both come here; they store the same pointer */
        table = simd_of(lcf_simd_best());
        __atomic_store_n(&simd_in_use, table, __ATOMIC_RELEASE);
    }
    return table;
}

const char *lcf_blas_core(bool *fast)
{
    const char *core = openblas_get_corename();

    if (fast)
        *fast = strcmp(core, "Prescott") != 0 && strcmp(core, "Generic") != 0 &&
                strcmp(core, "generic") != 0 && strcmp(core, "Core2") != 0;
    return core;
}

/* ---- products ---- */

/*
 * Where our product is the faster one (tests/bench/bench_gemm, AVX2 and AVX-512 on Zen 4): it packs
 * panels of B only, so it wins by a tenth until the operands leave the caches, or A's columns fall
 * into the same cache sets, or too few rows share a panel that must be transposed.
 */
#define OWN_PRODUCT_MAX ((size_t)1 << 28)
#define OWN_LDA_MAX 768
#define OWN_TRANSPOSE_ROWS_MIN 48
#define SMALL_PRODUCT 4096 /* below it the call of OpenBLAS costs more than the product */
/* Up to this many rows of x, reading w once from memory beats packing it. */
#define LINEAR_FEW 16

static bool own_gemm(const lcf_simd *simd, bool transpose_a, bool transpose_b, size_t m, size_t n,
                     size_t k, float beta, size_t lda)
{
    if (beta != 0.0f && beta != 1.0f)
        return false;
    if (m * n * k <= SMALL_PRODUCT)
        return true;
    return simd->width >= 8 && n >= simd->width / 2 && m * n * k <= OWN_PRODUCT_MAX &&
           (!transpose_a || lda < OWN_LDA_MAX) && (!transpose_b || m >= OWN_TRANSPOSE_ROWS_MIN);
}

/* Of libgomp; omp.h is not there for every compiler. OpenBLAS takes its threads from the calling
 * thread's setting, which belongs to the program around us: one for the product, then as it was. */
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int threads);

void lcf_gemm(float *c, const float *a, const float *b, bool transpose_a, bool transpose_b,
              size_t m, size_t n, size_t k, float alpha, float beta, size_t lda, size_t ldb,
              size_t ldc)
{
    const lcf_simd *simd = lcf_simd_get();
    int threads;

    if (m == 0 || n == 0)
        return;
    if (own_gemm(simd, transpose_a, transpose_b, m, n, k, beta, lda)) {
        simd->gemm(c, ldc, a, transpose_a ? 1 : lda, transpose_a ? lda : 1, b,
                   transpose_b ? 1 : ldb, transpose_b ? ldb : 1, m, n, k, alpha, beta == 1.0f);
        return;
    }
    threads = omp_get_max_threads();
    if (threads != 1)
        omp_set_num_threads(1);
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha,
                a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
    if (threads != 1)
        omp_set_num_threads(threads);
}

void lcf_linear(float *y, const float *x, const float *w, const float *bias, size_t n, size_t in,
                size_t out)
{
    size_t i;

    if (n <= LINEAR_FEW || out < 4 || n * in * out <= SMALL_PRODUCT) {
        lcf_simd_get()->linear_few(y, x, w, bias, n, in, out);
        return;
    }
    if (bias)
        for (i = 0; i < n; i++)
            memcpy(y + i * out, bias, out * sizeof(*y));
    lcf_gemm(y, x, w, false, true, n, out, in, 1.0f, bias ? 1.0f : 0.0f, in, in, out);
}

void lcf_rounded_products(float *y, const float *x, const int16_t *w, const float *scale, size_t in,
                          size_t out)
{
    lcf_simd_get()->rounded_products(y, x, w, scale, in, out);
}

float lcf_dot(const float *a, const float *b, size_t n)
{
    return lcf_simd_get()->dot(a, b, n);
}

void lcf_axpy(float *y, float a, const float *x, size_t n)
{
    lcf_simd_get()->axpy(y, a, x, n);
}

void lcf_square_sums(double *sums, const float *x, size_t n)
{
    lcf_simd_get()->square_sums(sums, x, n);
}

/* ---- elementwise and rows ---- */

void lcf_rows_sum(float *y, size_t ldy, const lcf_rows_part *parts, size_t parts_n, size_t n,
                  size_t width)
{
    lcf_simd_get()->rows_sum(y, ldy, parts, parts_n, n, width);
}

void lcf_rows_gather(float *y, size_t ldy, const float *table, size_t width, const lcf_rows *rows)
{
    lcf_simd_get()->rows_gather(rows, y, ldy, table, width);
}

void lcf_rows_scatter(float *table, const float *dy, size_t ldy, size_t width, size_t first,
                      const lcf_rows *rows)
{
    lcf_simd_get()->rows_scatter(rows, table, dy, ldy, width, first);
}

void lcf_exp(float *y, const float *x, size_t n)
{
    lcf_simd_get()->exp(y, x, n);
}

void lcf_exp_shifted(float *x, float shift, size_t n)
{
    lcf_simd_get()->exp_shifted(x, shift, n);
}

void lcf_sigmoid(float *y, const float *x, size_t n)
{
    lcf_simd_get()->sigmoid(y, x, n);
}

void lcf_tanh(float *y, const float *x, size_t n)
{
    lcf_simd_get()->tanh(y, x, n);
}

void lcf_relu(float *y, const float *x, size_t n)
{
    lcf_simd_get()->relu(y, x, n);
}

void lcf_softmax(float *x, size_t rows, size_t n)
{
    const lcf_simd *simd = lcf_simd_get();
    size_t row;

    for (row = 0; row < rows && n > 0; row++)
        simd->softmax_row(x + row * n, n);
}

void lcf_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps)
{
    lcf_simd_get()->rmsnorm(y, x, w, rows, n, eps);
}

void lcf_bias_backward(float *db, float *dy, const float *y, size_t rows, size_t n)
{
    lcf_simd_get()->bias_backward(db, dy, y, rows, n);
}

void lcf_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w,
                          size_t rows, size_t n, float eps)
{
    lcf_simd_get()->rmsnorm_backward(dx, dw, dy, x, w, rows, n, eps);
}

void lcf_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                   size_t n, float eps)
{
    lcf_simd_get()->layernorm(y, x, w, bias, rows, n, eps);
}

void lcf_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                            const float *w, size_t rows, size_t n, float eps)
{
    lcf_simd_get()->layernorm_backward(dx, dw, dbias, dy, x, w, rows, n, eps);
}

void lcf_swiglu(float *y, const float *gate, const float *up, size_t n)
{
    lcf_simd_get()->swiglu(y, gate, up, n);
}

void lcf_dropout(float *y, const float *x, size_t n, uint64_t key, uint32_t first, uint32_t limit,
                 float scale)
{
    lcf_simd_get()->dropout(y, x, n, key, first, limit, scale);
}

void lcf_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                         const float *up, size_t n)
{
    lcf_simd_get()->swiglu_backward(dgate, dup, dy, gate, up, n);
}

float lcf_cross_entropy(float *grad, const float *logits, size_t target, size_t n, float scale)
{
    return lcf_simd_get()->cross_entropy(grad, logits, target, n, scale);
}

void lcf_adam_kernel(float *values, float *m, float *v, const float *grad, size_t n,
                     const lcf_adam_scalars *s)
{
    lcf_simd_get()->adam(values, m, v, grad, n, s);
}

void lcf_normalize(float *x, size_t n)
{
    double norm = 0;
    float inverse;
    size_t i;

    for (i = 0; i < n; i++)
        norm += (double)x[i] * x[i];
    if (norm == 0)
        return;
    inverse = (float)(1.0 / sqrt(norm));
    for (i = 0; i < n; i++)
        x[i] *= inverse;
}

bool lcf_all_finite(const float *x, size_t n)
{
    float sums[16] = {0}, sum = 0; /* x * 0 is NaN for what is not finite */
    size_t i, j;

    for (i = 0; i + 16 <= n; i += 16)
        for (j = 0; j < 16; j++)
            sums[j] += x[i + j] * 0.0f;
    for (; i < n; i++)
        sum += x[i] * 0.0f;
    for (j = 0; j < 16; j++)
        sum += sums[j];
    return sum == 0;
}

/* ---- RoPE ---- */

void lcf_rope_angles(float *cos_sin, size_t head_dim, size_t position, float theta)
{
    size_t i;

    for (i = 0; i + 1 < head_dim; i += 2) {
        double angle = (double)position * pow((double)theta, -(double)i / (double)head_dim);

        cos_sin[i] = (float)cos(angle);
        cos_sin[i + 1] = (float)sin(angle);
    }
}

void lcf_rope_rotate(float *x, size_t heads, size_t head_dim, const float *cos_sin, bool inverse)
{
    lcf_simd_get()->rope_rotate(x, heads, head_dim, cos_sin, inverse);
}
