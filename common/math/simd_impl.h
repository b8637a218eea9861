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

/* rows x (vecs * VW) of C; rows and vecs are constants at every call, so the accumulators stay in
 * registers. */
ALWAYS_INLINE void tile(const size_t rows, const size_t vecs, float *c, size_t ldc, const float *a,
                        size_t a_row, size_t a_col, const float *b, size_t ldb, size_t k,
                        float alpha, bool accumulate)
{
    vec sum[TILE_ROWS][TILE_VECS];
    size_t i, j, p;

#pragma GCC unroll 8
    for (i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (j = 0; j < vecs; j++)
            sum[i][j] = (vec){0};
    for (p = 0; p < k; p++) {
        const float *bp = b + p * ldb, *ap = a + p * a_col;
        vec bv[TILE_VECS];

#pragma GCC unroll 2
        for (j = 0; j < vecs; j++)
            bv[j] = *(const vec *)(bp + j * VW);
#pragma GCC unroll 8
        for (i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (j = 0; j < vecs; j++)
                sum[i][j] += ap[i * a_row] * bv[j];
    }
#pragma GCC unroll 8
    for (i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (j = 0; j < vecs; j++) {
            vec *out = (vec *)(c + i * ldc + j * VW);
            *out = accumulate ? *out + alpha * sum[i][j] : alpha * sum[i][j];
        }
}

ALWAYS_INLINE void tile_columns(const size_t vecs, float *c, size_t ldc, const float *a,
                                size_t a_row, size_t a_col, const float *b, size_t ldb, size_t m,
                                size_t k, float alpha, bool accumulate)
{
    size_t i = 0;

    for (; i + TILE_ROWS <= m; i += TILE_ROWS)
        tile(TILE_ROWS, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha,
             accumulate);
    for (; i + 4 <= m; i += 4)
        tile(4, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha, accumulate);
    for (; i < m; i++)
        tile(1, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha, accumulate);
}

/* The last n < VW columns. */
static void tile_tail(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                      const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                      bool accumulate)
{
    size_t i, j, p;

    for (i = 0; i < m; i++) {
        float sum[VW] = {0};

        for (p = 0; p < k; p++)
            for (j = 0; j < n; j++)
                sum[j] += a[i * a_row + p * a_col] * b[p * ldb + j];
        for (j = 0; j < n; j++)
            c[i * ldc + j] = alpha * sum[j] + (accumulate ? c[i * ldc + j] : 0.0f);
    }
}

static void impl_tile_gemm(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                           const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                           bool accumulate)
{
    size_t j = 0;

    for (; j + TILE_VECS * VW <= n; j += TILE_VECS * VW)
        tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, b + j, ldb, m, k, alpha, accumulate);
    for (; j + VW <= n; j += VW)
        tile_columns(1, c + j, ldc, a, a_row, a_col, b + j, ldb, m, k, alpha, accumulate);
    if (j < n)
        tile_tail(c + j, ldc, a, a_row, a_col, b + j, ldb, m, n - j, k, alpha, accumulate);
}

/* ---- packed products: C = A B in panels of B that stay in the first-level cache ---- */

/* The first and the second halves of a and b, element by element in turn. */
#if VW == 16
#define ZIP_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VW == 8
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* A block of VW x VW: zipping row i with row i + VW / 2, log2(VW) times, transposes it. */
ALWAYS_INLINE void transpose_block(float *out, size_t ldo, const float *x, size_t ldx)
{
    vec rows[VW], next[VW];
    size_t i, stage;

#pragma GCC unroll 16
    for (i = 0; i < VW; i++)
        rows[i] = *(const vec *)(x + i * ldx);
#pragma GCC unroll 4
    for (stage = 1; stage < VW; stage *= 2) {
#pragma GCC unroll 8
        for (i = 0; i < VW / 2; i++) {
            next[2 * i] = ZIP_LOW(rows[i], rows[i + VW / 2]);
            next[2 * i + 1] = ZIP_HIGH(rows[i], rows[i + VW / 2]);
        }
#pragma GCC unroll 16
        for (i = 0; i < VW; i++)
            rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (i = 0; i < VW; i++)
        *(vec *)(out + i * ldo) = rows[i];
}

static void impl_transpose(float *out, size_t ldo, const float *x, size_t ldx, size_t rows,
                           size_t cols)
{
    size_t r = 0, c, i;

    for (; r + VW <= rows; r += VW) {
        for (c = 0; c + VW <= cols; c += VW)
            transpose_block(out + c * ldo + r, ldo, x + r * ldx + c, ldx);
        for (; c < cols; c++)
            for (i = r; i < r + VW; i++)
                out[c * ldo + i] = x[i * ldx + c];
    }
    for (; r < rows; r++)
        for (c = 0; c < cols; c++)
            out[c * ldo + r] = x[r * ldx + c];
}

#define PANEL (TILE_VECS * VW)
#define PACK_K 256 /* rows of a panel */

/* out[p * PANEL + j] = element (p, j) of B, zero for j >= n. */
static void pack_panel(float *restrict out, const float *b, size_t b_row, size_t b_col, size_t k,
                       size_t n)
{
    size_t p, j;

    if (b_col == 1 && n == PANEL) {
        for (p = 0; p < k; p++)
            memcpy(out + p * PANEL, b + p * b_row, PANEL * sizeof(*out));
        return;
    }
    if (n < PANEL)
        memset(out, 0, k * PANEL * sizeof(*out));
    if (b_col == 1) {
        for (p = 0; p < k; p++)
            memcpy(out + p * PANEL, b + p * b_row, n * sizeof(*out));
        return;
    }
    if (b_row == 1) {
        impl_transpose(out, PANEL, b, b_col, n, k);
        return;
    }
    for (p = 0; p < k; p++)
        for (j = 0; j < n; j++)
            out[p * PANEL + j] = b[p * b_row + j * b_col];
}

/* A panel of n < PANEL columns of C, through a block of full width. */
static void edge_columns(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                         const float *panel, size_t m, size_t n, size_t k, float alpha,
                         bool accumulate)
{
    float block[TILE_ROWS * PANEL];
    size_t i, r, j;

    for (i = 0; i < m; i += TILE_ROWS) {
        size_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;

        if (n > VW)
            tile_columns(2, block, PANEL, a + i * a_row, a_row, a_col, panel, PANEL, rows, k, alpha,
                         false);
        else
            tile_columns(1, block, PANEL, a + i * a_row, a_row, a_col, panel, PANEL, rows, k, alpha,
                         false);
        for (r = 0; r < rows; r++)
            for (j = 0; j < n; j++)
                c[(i + r) * ldc + j] =
                    block[r * PANEL + j] + (accumulate ? c[(i + r) * ldc + j] : 0.0f);
    }
}

/* One block of rows of A, k <= PACK_K, against all of B. */
static void gemm_block(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                       const float *b, size_t b_row, size_t b_col, size_t m, size_t n, size_t k,
                       float alpha, bool accumulate)
{
    float panel[PACK_K * PANEL] __attribute__((aligned(64)));
    size_t j;

    for (j = 0; j < n; j += PANEL) {
        size_t columns = n - j < PANEL ? n - j : PANEL;
        const float *from = b + j * b_col;

        if (columns == PANEL && b_col == 1 && m < 4 * TILE_ROWS) { /* not worth a copy */
            tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, from, b_row, m, k, alpha,
                         accumulate);
            continue;
        }
        pack_panel(panel, from, b_row, b_col, k, columns);
        if (columns == PANEL)
            tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, panel, PANEL, m, k, alpha,
                         accumulate);
        else
            edge_columns(c + j, ldc, a, a_row, a_col, panel, m, columns, k, alpha, accumulate);
    }
}

static void impl_gemm(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                      const float *b, size_t b_row, size_t b_col, size_t m, size_t n, size_t k,
                      float alpha, bool accumulate)
{
    size_t p;

    for (p = 0; p < k || p == 0; p += PACK_K) {
        size_t depth = k - p < PACK_K ? k - p : PACK_K;

        gemm_block(c, ldc, a + p * a_col, a_row, a_col, b + p * b_row, b_row, b_col, m, n, depth,
                   alpha, accumulate || p > 0);
    }
}

/* xs rows of x against ws rows of w: every row of w is read once for all of x. */
ALWAYS_INLINE void linear_block(const size_t xs, const size_t ws, float *y, const float *x,
                                const float *w, const float *bias, size_t in, size_t out)
{
    vec sum[4][4];
    size_t i, j, p = 0;

#pragma GCC unroll 4
    for (i = 0; i < xs; i++)
#pragma GCC unroll 4
        for (j = 0; j < ws; j++)
            sum[i][j] = (vec){0};
    for (; p + VW <= in; p += VW) {
        vec wv[4];

#pragma GCC unroll 4
        for (j = 0; j < ws; j++)
            wv[j] = *(const vec *)(w + j * in + p);
#pragma GCC unroll 4
        for (i = 0; i < xs; i++)
#pragma GCC unroll 4
            for (j = 0; j < ws; j++)
                sum[i][j] += *(const vec *)(x + i * in + p) * wv[j];
    }
#pragma GCC unroll 4
    for (i = 0; i < xs; i++)
#pragma GCC unroll 4
        for (j = 0; j < ws; j++) {
            float s = vec_sum(sum[i][j]);
            size_t q;

            for (q = p; q < in; q++)
                s += x[i * in + q] * w[j * in + q];
            y[i * out + j] = s + (bias ? bias[j] : 0.0f);
        }
}

#define W_BLOCK (VW == 16 ? 4 : 2)

ALWAYS_INLINE void linear_rows(const size_t xs, float *y, const float *x, const float *w,
                               const float *bias, size_t in, size_t out)
{
    size_t j = 0;

    for (; j + W_BLOCK <= out; j += W_BLOCK)
        linear_block(xs, W_BLOCK, y + j, x, w + j * in, bias ? bias + j : NULL, in, out);
    for (; j < out; j++)
        linear_block(xs, 1, y + j, x, w + j * in, bias ? bias + j : NULL, in, out);
}

static void impl_linear_few(float *y, const float *x, const float *w, const float *bias, size_t n,
                            size_t in, size_t out)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        linear_rows(4, y + i * out, x + i * in, w, bias, in, out);
    for (; i + 2 <= n; i += 2)
        linear_rows(2, y + i * out, x + i * in, w, bias, in, out);
    for (; i < n; i++)
        linear_rows(1, y + i * out, x + i * in, w, bias, in, out);
}

#include "common/math/packed_impl.h"
#include "common/math/columns_impl.h"

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

/* ---- RMSNorm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) ---- */

ALWAYS_INLINE float rms_inverse(const float *x, size_t n, float eps)
{
    float sum = 0;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++)
        sum += x[i] * x[i];
    return 1.0f / sqrtf(sum / (float)n + eps);
}

static void impl_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, y += n) {
        float r = rms_inverse(x, n, eps);

#pragma omp simd
        for (i = 0; i < n; i++)
            y[i] = x[i] * r * w[i];
    }
}

static void impl_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x,
                                  const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, dy += n) {
        float r = rms_inverse(x, n, eps), sum = 0, back;

#pragma omp simd reduction(+ : sum)
        for (i = 0; i < n; i++)
            sum += dy[i] * w[i] * x[i];
        back = sum * r * r * r / (float)n;
        if (dx) {
            float *d = dx + row * n;

#pragma omp simd
            for (i = 0; i < n; i++)
                d[i] += dy[i] * w[i] * r - x[i] * back;
        }
        if (dw) {
#pragma omp simd
            for (i = 0; i < n; i++)
                dw[i] += dy[i] * x[i] * r;
        }
    }
}

/* ---- LayerNorm: y = (x - mean) r w + bias with r = 1 / sqrt(variance + eps) ---- */

typedef struct moments {
    float mean, inverse; /* r */
} moments;

ALWAYS_INLINE moments layer_moments(const float *x, size_t n, float eps)
{
    float sum = 0, square = 0, mean;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++)
        sum += x[i];
    mean = sum / (float)n;
#pragma omp simd reduction(+ : square)
    for (i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1.0f / sqrtf(square / (float)n + eps)};
}

static void impl_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                           size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, y += n) {
        const moments m = layer_moments(x, n, eps);

#pragma omp simd
        for (i = 0; i < n; i++)
            y[i] = (x[i] - m.mean) * m.inverse * w[i] + bias[i];
    }
}

/* dx += r (g - mean(g) - xhat mean(g xhat)), g = dy w and xhat the normalised row */
static void impl_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy,
                                    const float *x, const float *w, size_t rows, size_t n,
                                    float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, dy += n) {
        const moments m = layer_moments(x, n, eps);
        float *d = dx ? dx + row * n : NULL, sum = 0, product = 0;

#pragma omp simd reduction(+ : sum, product)
        for (i = 0; i < n; i++) {
            sum += dy[i] * w[i];
            product += dy[i] * w[i] * (x[i] - m.mean) * m.inverse;
        }
        sum /= (float)n;
        product /= (float)n;
#pragma omp simd
        for (i = 0; i < (d ? n : 0); i++)
            d[i] += m.inverse * (dy[i] * w[i] - sum - (x[i] - m.mean) * m.inverse * product);
#pragma omp simd
        for (i = 0; i < (dw ? n : 0); i++)
            dw[i] += dy[i] * (x[i] - m.mean) * m.inverse;
#pragma omp simd
        for (i = 0; i < (dbias ? n : 0); i++)
            dbias[i] += dy[i];
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
    .transpose = impl_transpose,
    .bias_backward = impl_bias_backward,
    .packed_linear = impl_packed_linear,
    .columns_linear = impl_columns_linear,
    .columns_rmsnorm = impl_columns_rmsnorm,
    .columns_rope = impl_columns_rope,
    .columns_attend = impl_columns_attend,
    .columns_gather = impl_columns_gather,
    .columns_scatter = impl_columns_scatter,
    .dot = impl_dot,
    .axpy = impl_axpy,
    .rows_gather = impl_rows_gather,
    .rows_sum = impl_rows_sum,
    .rows_scatter = impl_rows_scatter,
    .hamming = impl_hamming,
    .csr_multiply_add = impl_csr_multiply_add,
    .exp = impl_exp,
    .sigmoid = impl_sigmoid,
    .tanh = impl_tanh,
    .softmax_row = impl_softmax_row,
    .exp_shifted = impl_exp_shifted,
    .rope_rotate = impl_rope_rotate,
    .short_forward = impl_short_forward,
    .short_backward = impl_short_backward,
    .rmsnorm = impl_rmsnorm,
    .rmsnorm_backward = impl_rmsnorm_backward,
    .layernorm = impl_layernorm,
    .layernorm_backward = impl_layernorm_backward,
    .swiglu = impl_swiglu,
    .swiglu_backward = impl_swiglu_backward,
    .softmax_grad = impl_softmax_grad,
    .cross_entropy = impl_cross_entropy,
    .adam = impl_adam,
};
