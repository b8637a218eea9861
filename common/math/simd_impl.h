/*
 * The bodies of the dispatched kernels, in portable C with gcc vector extensions and `omp simd`
 * loops. Included once by each simd_<level>.c, which is compiled with that level's flags and names
 * the table in SIMD_TABLE. Everything here is static: no symbol of one level can be linked in place
 * of another's.
 *
 * Invariant: the order of every sum is a function of the sizes alone.
 */
#include "common/math/simd.h"

#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
#define VW 16
#define TILE_ROWS 8
#elif defined(__AVX__)
#define VW 8
#define TILE_ROWS 6
#else
#define VW 4
#define TILE_ROWS 4
#endif
#define TILE_VECS 2

typedef float vec __attribute__((vector_size(VW * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(VW * 4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Halves added until one is left. */
ALWAYS_INLINE float vec_sum(vec v)
{
#if VW == 16
    float __attribute__((vector_size(32))) half =
        __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
        __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    vec half = v;
#endif
#if VW >= 8
    float __attribute__((vector_size(16))) quarter =
        __builtin_shufflevector(half, half, 0, 1, 2, 3) +
        __builtin_shufflevector(half, half, 4, 5, 6, 7);
#else
    vec quarter = half;
#endif

    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* ---- exponential: 2^n * e^r, r in [-ln 2 / 2, ln 2 / 2], polynomial of Cephes' expf ---- */

ALWAYS_INLINE float exp_one(float x)
{
    const float magic =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    float clamped = x > 88.0f ? 88.0f : x, shifted, n, r, y, scale;
    uint32_t bits;

    clamped = clamped < -87.0f ? -87.0f : clamped;
    shifted = clamped * 1.44269504088896341f + magic;
    n = shifted - magic;
    r = clamped - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, sizeof(scale));
    y = y * scale;
    return x < -87.0f ? 0.0f : y;
}

ALWAYS_INLINE float sigmoid_one(float x)
{
    return 1.0f / (1.0f + exp_one(-x));
}

static void impl_exp(float *y, const float *x, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] = exp_one(x[i]);
}

static void impl_sigmoid(float *y, const float *x, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] = sigmoid_one(x[i]);
}

static void impl_tanh(float *y, const float *x, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] = 1.0f - 2.0f / (exp_one(2.0f * x[i]) + 1.0f);
}

static void impl_relu(float *y, const float *x, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* ---- vectors ---- */

static float impl_dot(const float *a, const float *b, size_t n)
{
    vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    float tail = 0;
    size_t i = 0;

    for (; i + 4 * VW <= n; i += 4 * VW) {
        s0 += *(const vec *)(a + i) * *(const vec *)(b + i);
        s1 += *(const vec *)(a + i + VW) * *(const vec *)(b + i + VW);
        s2 += *(const vec *)(a + i + 2 * VW) * *(const vec *)(b + i + 2 * VW);
        s3 += *(const vec *)(a + i + 3 * VW) * *(const vec *)(b + i + 3 * VW);
    }
    for (; i + VW <= n; i += VW)
        s0 += *(const vec *)(a + i) * *(const vec *)(b + i);
    for (; i < n; i++)
        tail += a[i] * b[i];
    return vec_sum((s0 + s1) + (s2 + s3)) + tail;
}

static void impl_axpy(float *y, float a, const float *x, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] += a * x[i];
}

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef double eight_doubles __attribute__((vector_size(64), aligned(8), may_alias));

static void impl_square_sums(double *sums, const float *x, size_t n)
{
    eight_doubles low = *(const eight_doubles *)sums, high = *(const eight_doubles *)(sums + 8);
    size_t i = 0;

    for (; i + LCF_SQUARE_SUMS <= n; i += LCF_SQUARE_SUMS) {
        const eight_doubles a = __builtin_convertvector(*(const eight *)(x + i), eight_doubles);
        const eight_doubles b = __builtin_convertvector(*(const eight *)(x + i + 8), eight_doubles);

        low += a * a;
        high += b * b;
    }
    *(eight_doubles *)sums = low;
    *(eight_doubles *)(sums + 8) = high;
    for (; i < n; i++)
        sums[i % LCF_SQUARE_SUMS] += (double)x[i] * (double)x[i];
}

/* ---- codes: the compiler's popcount is an instruction where the level has one ---- */

ALWAYS_INLINE void hamming_of(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n,
                              const size_t bytes)
{
    size_t i, j;

    for (i = 0; i < n; i++) {
        const uint8_t *other = codes + i * bytes;
        uint32_t sum = 0;

        for (j = 0; j + 8 <= bytes; j += 8) {
            uint64_t a, b;

            memcpy(&a, code + j, 8);
            memcpy(&b, other + j, 8);
            sum += (uint32_t)__builtin_popcountll(a ^ b);
        }
        for (; j + 4 <= bytes; j += 4) {
            uint32_t a, b;

            memcpy(&a, code + j, 4);
            memcpy(&b, other + j, 4);
            sum += (uint32_t)__builtin_popcount(a ^ b);
        }
        for (; j < bytes; j++)
            sum += (uint32_t)__builtin_popcount((unsigned)(code[j] ^ other[j]));
        out[i] = sum;
    }
}

static void impl_hamming(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n,
                         size_t bytes)
{
    if (bytes == 4)
        hamming_of(out, code, codes, n, 4);
    else if (bytes == 8)
        hamming_of(out, code, codes, n, 8);
    else
        hamming_of(out, code, codes, n, bytes);
}

/* Columns [at, at + vecs * VW) of one row of y = x + A z. */
ALWAYS_INLINE void csr_columns(const size_t vecs, float *y, const lcf_csr *a, size_t row,
                               const float *x, const float *z, size_t d, size_t at)
{
    vec sum[4];
    size_t v;
    uint32_t e;

#pragma GCC unroll 4
    for (v = 0; v < vecs; v++)
        sum[v] = *(const vec *)(x + row * d + at + v * VW);
    for (e = a->begin[row]; e < a->begin[row + 1]; e++) {
        const float *from = z + a->column[e] * d + at;

#pragma GCC unroll 4
        for (v = 0; v < vecs; v++)
            sum[v] += a->value[e] * *(const vec *)(from + v * VW);
    }
#pragma GCC unroll 4
    for (v = 0; v < vecs; v++)
        *(vec *)(y + row * d + at + v * VW) = sum[v];
}

static void impl_csr_multiply_add(float *y, const lcf_csr *a, const float *x, const float *z,
                                  size_t d)
{
    size_t row, at, j;
    uint32_t e;

    for (row = 0; row < a->rows_n; row++) {
        for (at = 0; at + 4 * VW <= d; at += 4 * VW)
            csr_columns(4, y, a, row, x, z, d, at);
        for (; at + VW <= d; at += VW)
            csr_columns(1, y, a, row, x, z, d, at);
        for (j = at; j < d; j++) {
            float sum = x[row * d + j];

            for (e = a->begin[row]; e < a->begin[row + 1]; e++)
                sum += a->value[e] * z[a->column[e] * d + j];
            y[row * d + j] = sum;
        }
    }
}

/* ---- products ---- */

#include "common/math/product_impl.h"
/* and these, which build on it */
#include "common/math/columns_impl.h"
#include "common/math/packed_impl.h"

/* ---- what is left of a layer's backward pass beside the products ---- */

/* `vecs` vectors of columns: the sums stay in registers while rows pass. */
ALWAYS_INLINE void bias_columns(float *db, float *dy, const float *y, size_t rows, size_t n,
                                const size_t vecs)
{
    vec sum[4];
    size_t i, j;

#pragma GCC unroll 4
    for (j = 0; j < vecs; j++)
        sum[j] = (vec){0};
    for (i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (j = 0; j < vecs; j++) {
            vec *at = (vec *)(dy + i * n + j * VW), v = *at;

            if (y) {
                v = (vec)((ivec)v & (*(const vec *)(y + i * n + j * VW) > (vec){0}));
                *at = v;
            }
            sum[j] += v;
        }
    if (!db)
        return;
#pragma GCC unroll 4
    for (j = 0; j < vecs; j++)
        *(vec *)(db + j * VW) += sum[j];
}

static void impl_bias_backward(float *db, float *dy, const float *y, size_t rows, size_t n)
{
    size_t j = 0, i;

    for (; j + 4 * VW <= n; j += 4 * VW)
        bias_columns(db ? db + j : NULL, dy + j, y ? y + j : NULL, rows, n, 4);
    for (; j + VW <= n; j += VW)
        bias_columns(db ? db + j : NULL, dy + j, y ? y + j : NULL, rows, n, 1);
    for (; j < n; j++) {
        float sum = 0.0f;

        for (i = 0; i < rows; i++) {
            if (y && !(y[i * n + j] > 0.0f))
                dy[i * n + j] = 0.0f;
            sum += dy[i * n + j];
        }
        if (db)
            db[j] += sum;
    }
}

/* ---- softmax ---- */

ALWAYS_INLINE float row_max(const float *x, size_t n)
{
    float max = x[0];
    size_t i;

#pragma omp simd reduction(max : max)
    for (i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static float impl_softmax_row(float *x, size_t n)
{
    float max = row_max(x, n), sum = 0, inverse;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++) {
        float e = exp_one(x[i] - max);
        x[i] = e;
        sum += e;
    }
    inverse = 1.0f / sum;
#pragma omp simd
    for (i = 0; i < n; i++)
        x[i] *= inverse;
    return max + logf(sum);
}

static void impl_exp_shifted(float *x, float shift, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        x[i] = exp_one(x[i] - shift);
}

/* ---- RoPE ---- */

/* Lane i of each: the cosine, the sine with its sign, and the other of the pair. */
#if VW == 16
#define ROPE_LANES(first, second)                                                                 \
    0 + (first), 0 + (second), 2 + (first), 2 + (second), 4 + (first), 4 + (second), 6 + (first), \
        6 + (second), 8 + (first), 8 + (second), 10 + (first), 10 + (second), 12 + (first),       \
        12 + (second), 14 + (first), 14 + (second)
#define ROPE_SIGNS                                             \
    {                                                          \
        -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1 \
    }
#elif VW == 8
#define ROPE_LANES(first, second)                                                                 \
    0 + (first), 0 + (second), 2 + (first), 2 + (second), 4 + (first), 4 + (second), 6 + (first), \
        6 + (second)
#define ROPE_SIGNS                 \
    {                              \
        -1, 1, -1, 1, -1, 1, -1, 1 \
    }
#else
#define ROPE_LANES(first, second) 0 + (first), 0 + (second), 2 + (first), 2 + (second)
#define ROPE_SIGNS   \
    {                \
        -1, 1, -1, 1 \
    }
#endif

static void rope_head(float *x, size_t head_dim, const float *cos_sin, float sign)
{
    static const vec signs = ROPE_SIGNS;
    size_t i = 0;

    for (; i + VW <= head_dim; i += VW) {
        const vec angles = *(const vec *)(cos_sin + i), v = *(const vec *)(x + i);

        *(vec *)(x + i) =
            v * __builtin_shufflevector(angles, angles, ROPE_LANES(0, 0)) +
            __builtin_shufflevector(v, v, ROPE_LANES(1, 0)) *
                (__builtin_shufflevector(angles, angles, ROPE_LANES(1, 1)) * (signs * sign));
    }
    for (; i + 1 < head_dim; i += 2) {
        const float c = cos_sin[i], s = sign * cos_sin[i + 1], a = x[i], b = x[i + 1];

        x[i] = a * c - b * s;
        x[i + 1] = b * c + a * s;
    }
}

static void impl_rope_rotate(float *x, size_t heads, size_t head_dim, const float *cos_sin,
                             bool inverse)
{
    for (size_t h = 0; h < heads; h++)
        rope_head(x + h * head_dim, head_dim, cos_sin, inverse ? -1.0f : 1.0f);
}

static void impl_softmax_grad(float *ds, const float *p, float delta, float scale, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        ds[i] = p[i] * (ds[i] - delta) * scale;
}

static float impl_cross_entropy(float *grad, const float *logits, size_t target, size_t n,
                                float scale)
{
    float max = row_max(logits, n), sum = 0, factor;
    size_t i;

    if (!grad) {
#pragma omp simd reduction(+ : sum)
        for (i = 0; i < n; i++)
            sum += exp_one(logits[i] - max);
        return max + logf(sum) - logits[target];
    }
#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++) {
        float e = exp_one(logits[i] - max);
        grad[i] = e;
        sum += e;
    }
    factor = scale / sum;
#pragma omp simd
    for (i = 0; i < n; i++)
        grad[i] *= factor;
    grad[target] -= scale;
    return max + logf(sum) - logits[target];
}

#include "common/math/norm_impl.h"

/* ---- dropout ---- */

ALWAYS_INLINE uint32_t hash(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static void impl_dropout(float *y, const float *x, size_t n, uint64_t key, uint32_t first,
                         uint32_t limit, float scale)
{
    const uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++) {
        uint32_t lot = hash(hash((first + (uint32_t)i) ^ low) + high);
        y[i] = lot < limit ? 0.0f : scale * x[i];
    }
}

/* ---- SwiGLU ---- */

static void impl_swiglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++)
        y[i] = gate[i] * sigmoid_one(gate[i]) * up[i];
}

static void impl_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                                 const float *up, size_t n)
{
    size_t i;

    if (dgate && dup) {
#pragma omp simd
        for (i = 0; i < n; i++) {
            float s = sigmoid_one(gate[i]), silu = gate[i] * s;
            dgate[i] += dy[i] * up[i] * (s + silu * (1.0f - s));
            dup[i] += dy[i] * silu;
        }
        return;
    }
    for (i = 0; i < n && dgate; i++) {
        float s = sigmoid_one(gate[i]);
        dgate[i] += dy[i] * up[i] * (s + gate[i] * s * (1.0f - s));
    }
    for (i = 0; i < n && dup; i++)
        dup[i] += dy[i] * gate[i] * sigmoid_one(gate[i]);
}

/* ---- Adam ---- */

ALWAYS_INLINE void adam_all(float *values, float *m, float *v, const float *grad, size_t n,
                            const lcf_adam_scalars c, const bool has_grad)
{
    const float inverse_bias2 = 1.0f / c.root_bias2;
    size_t i;

#pragma omp simd
    for (i = 0; i < n; i++) {
        float value = values[i] * c.shrink, mi, vi;
        float g = (has_grad ? grad[i] * c.grad_scale : 0.0f) + c.l2 * value;

        mi = m[i] * c.beta1 + g * c.one_minus_beta1;
        vi = v[i] * c.beta2 + c.one_minus_beta2 * g * g;
        m[i] = mi;
        v[i] = vi;
        values[i] = value - c.step_size * mi / (sqrtf(vi) * inverse_bias2 + c.eps);
    }
}

static void impl_adam(float *values, float *m, float *v, const float *grad, size_t n,
                      const lcf_adam_scalars *s)
{
    if (grad)
        adam_all(values, m, v, grad, n, *s, true);
    else
        adam_all(values, m, v, NULL, n, *s, false);
}

#include "common/math/rows_impl.h"
#include "common/math/short_attention_impl.h"

const lcf_simd SIMD_TABLE = {
    .width = VW,
    .tile_gemm = impl_tile_gemm,
    .gemm = impl_gemm,
    .linear_few = impl_linear_few,
    .rounded_products = impl_rounded_products,
    .transpose = impl_transpose,
    .bias_backward = impl_bias_backward,
    .packed_linear = impl_packed_linear,
    .columns_rmsnorm = impl_columns_rmsnorm,
    .columns_rope = impl_columns_rope,
    .columns_attend = impl_columns_attend,
    .columns_gather = impl_columns_gather,
    .columns_scatter = impl_columns_scatter,
    .dot = impl_dot,
    .axpy = impl_axpy,
    .square_sums = impl_square_sums,
    .rows_gather = impl_rows_gather,
    .rows_sum = impl_rows_sum,
    .rows_scatter = impl_rows_scatter,
    .hamming = impl_hamming,
    .csr_multiply_add = impl_csr_multiply_add,
    .exp = impl_exp,
    .sigmoid = impl_sigmoid,
    .tanh = impl_tanh,
    .relu = impl_relu,
    .softmax_row = impl_softmax_row,
    .exp_shifted = impl_exp_shifted,
    .rope_rotate = impl_rope_rotate,
    .short_forward = impl_short_forward,
    .short_backward = impl_short_backward,
    .rmsnorm = impl_rmsnorm,
    .rmsnorm_backward = impl_rmsnorm_backward,
    .layernorm = impl_layernorm,
    .layernorm_backward = impl_layernorm_backward,
    .dropout = impl_dropout,
    .swiglu = impl_swiglu,
    .swiglu_backward = impl_swiglu_backward,
    .softmax_grad = impl_softmax_grad,
    .cross_entropy = impl_cross_entropy,
    .adam = impl_adam,
};
