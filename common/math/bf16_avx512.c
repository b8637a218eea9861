/*
 * bf16 products with AVX512-BF16. A tile of TILE_M rows by a panel of two vectors stays in
 * registers while k runs; rounding is the processor's (to nearest even, denormals are zero).
 */
#include "common/math/bf16.h"
#include "common/math/packed.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define TILE_M 12
#define PANEL_AHEAD 16 /* rows whose lines are asked for before they are read */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static __mmask16 tail_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

/* Of columns i .. i + 15, those before n. */
static __mmask16 mask_at(size_t i, size_t n)
{
    return n - i < 16 ? tail_mask(n - i) : (__mmask16)0xffff;
}

static void bf16_round(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;

    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16),
                                                                _mm512_loadu_ps(x + i)));
    for (; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);

        _mm256_mask_storeu_epi16(y + i, mask,
                                 (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i)));
    }
}

/* 16 pairs of a and b. */
ALWAYS_INLINE __m512i paired(__m512 a, __m512 b)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

static void bf16_panel(uint16_t *panel, const float *b, size_t ldb, size_t k)
{
    for (size_t i = 0; i < k; i += 2, panel += 2 * LCF_PANEL) {
        const float *x = b + i * ldb, *y = x + ldb;
        const bool both = i + 1 < k;

        for (size_t j = 0; j < LCF_PANEL; j += 16)
            _mm512_storeu_si512(panel + 2 * j,
                                paired(_mm512_loadu_ps(x + j),
                                       both ? _mm512_loadu_ps(y + j) : _mm512_setzero_ps()));
    }
}

static void bf16_pair(uint16_t *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);

        _mm512_mask_storeu_epi32(
            y + 2 * i, mask,
            paired(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i)));
    }
}

static void bf16_panel_of_left(uint16_t *panel, const uint16_t *left, size_t ld, size_t k, size_t n)
{
    const __mmask32 columns = n < LCF_PANEL ? (1u << n) - 1u : 0xffffffffu;
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));

    for (size_t i = 0; i < k; i += 2, left += 2 * ld, panel += 2 * LCF_PANEL) {
        const __m512i a = _mm512_maskz_loadu_epi16(columns, left);
        const __m512i b =
            i + 1 < k ? _mm512_maskz_loadu_epi16(columns, left + ld) : _mm512_setzero_si512();

        __builtin_prefetch(left + PANEL_AHEAD * ld, 0, 3);
        __builtin_prefetch(left + (PANEL_AHEAD + 1) * ld, 0, 3);
        _mm512_storeu_si512(panel, _mm512_permutex2var_epi16(a, low, b));
        _mm512_storeu_si512(panel + LCF_PANEL, _mm512_permutex2var_epi16(a, high, b));
    }
}

/* ---- products ---- */

/* C will be written when the sums are complete: its lines are on their way meanwhile. */
ALWAYS_INLINE void ask_for_c(const float *c, size_t ldc, const size_t rows)
{
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        __builtin_prefetch(c + r * ldc, 1, 3);
        __builtin_prefetch(c + r * ldc + 16, 1, 3);
    }
}

/* So are the rows of A that follow, a line for every pair of k. A has as many lines as there are
 * rows for each 16 pairs. */
ALWAYS_INLINE void ask_for_a(const uint16_t *a, size_t lda, size_t i, const size_t rows)
{
    const size_t r = i / 2 % 16;

    __builtin_prefetch(a + (rows + (r < rows ? r : rows - 1)) * lda + i / 32 * 32, 0, 3);
}

/* So is a line of what is read when the product is done: it comes from memory, which has nothing
 * else to do. */
ALWAYS_INLINE void ask_ahead(lcf_ahead *ahead)
{
    __builtin_prefetch(ahead->row + ahead->at, 0, 2);
    ahead->at += 64;
    if (ahead->at < ahead->row_bytes)
        return;
    ahead->at = 0;
    ahead->row += ahead->stride;
    ahead->rows -= ahead->rows > 0;
}

/* Which of a panel's columns are C's. */
typedef struct panel_columns {
    __mmask16 low, high;
    __mmask32 left; /* with one more where their number is odd */
} panel_columns;

ALWAYS_INLINE panel_columns columns_of(size_t n)
{
    const uint32_t all = n < LCF_PANEL ? (1u << n) - 1u : 0xffffffffu;

    return (panel_columns){(__mmask16)all, (__mmask16)(all >> 16), all | (all << 1 & 0xaaaaaaaau)};
}

/* The end of `rows` rows of sums, a constant where this is inlined, at C's `row` and `column`. */
ALWAYS_INLINE void end_rows(const lcf_bf16_end *end, size_t row, size_t column,
                            __m512 sum[TILE_M][2], const panel_columns of, const size_t rows)
{
    size_t r;

    if (end->bias) {
        const __m512 b0 = _mm512_maskz_loadu_ps(of.low, end->bias + column);
        const __m512 b1 = _mm512_maskz_loadu_ps(of.high, end->bias + column + 16);

#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            sum[r][0] = _mm512_add_ps(sum[r][0], b0);
            sum[r][1] = _mm512_add_ps(sum[r][1], b1);
        }
    }
    if (end->onto)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            const float *from = end->onto + (row + r) * end->onto_ld + column;

            sum[r][0] = _mm512_add_ps(_mm512_maskz_loadu_ps(of.low, from), sum[r][0]);
            sum[r][1] = _mm512_add_ps(_mm512_maskz_loadu_ps(of.high, from + 16), sum[r][1]);
        }
    if (end->relu)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            sum[r][0] = _mm512_max_ps(sum[r][0], _mm512_setzero_ps());
            sum[r][1] = _mm512_max_ps(sum[r][1], _mm512_setzero_ps());
        }
    if (end->mask)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            const uint16_t *from = end->mask + (row + r) * end->mask_ld + column;
            const __mmask32 above = _mm512_cmpgt_epi16_mask(_mm512_maskz_loadu_epi16(of.left, from),
                                                            _mm512_setzero_si512());

            sum[r][0] = _mm512_maskz_mov_ps((__mmask16)above, sum[r][0]);
            sum[r][1] = _mm512_maskz_mov_ps((__mmask16)(above >> 16), sum[r][1]);
        }
    if (end->c)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            float *to = end->c + (row + r) * end->c_ld + column;

            _mm512_mask_storeu_ps(to, of.low, sum[r][0]);
            _mm512_mask_storeu_ps(to + 16, of.high, sum[r][1]);
        }
    if (end->left)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++)
            _mm512_mask_storeu_epi16(end->left + (row + r) * end->left_ld + column, of.left,
                                     (__m512i)_mm512_cvtne2ps_pbh(sum[r][1], sum[r][0]));
}

/* rows and asking are constants where this is inlined. n: columns of C in the panel. */
ALWAYS_INLINE void tile(const lcf_bf16_end *end, size_t row, size_t column, const uint16_t *a,
                        size_t lda, const uint16_t *panel, const panel_columns of, size_t k,
                        const size_t rows, const bool asking)
{
    lcf_ahead ahead = asking ? *end->ahead : (lcf_ahead){0};
    __m512 sum[TILE_M][2];
    size_t i, r;

#pragma GCC unroll 12
    for (r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    if (end->c)
        ask_for_c(end->c + row * end->c_ld + column, end->c_ld, rows);
    for (i = 0; i < k; i += 2) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(panel + i * LCF_PANEL);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(panel + i * LCF_PANEL + 32);

        ask_for_a(a, lda, i, rows);
        if (asking && i & 2) /* more often than that, and some are dropped */
            ask_ahead(&ahead);
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            int32_t pair;
            __m512bh both;

            memcpy(&pair, a + r * lda + i, sizeof(pair));
            both = (__m512bh)_mm512_set1_epi32(pair);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], both, b0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], both, b1);
        }
    }
    if (asking)
        *end->ahead = ahead;
    end_rows(end, row, column, sum, of, rows);
}

/* The last 16 rows are two of 8: 4 alone would wait for each other's sums. */
ALWAYS_INLINE bool whole_tile(size_t rows)
{
    return rows >= TILE_M && rows != 16;
}

static void bf16_product(const lcf_bf16_end *end, size_t column, const uint16_t *a, size_t lda,
                         const uint16_t *panel, size_t m, size_t n, size_t k)
{
    const panel_columns of = columns_of(n);
    size_t r = 0;

    for (; end->ahead && end->ahead->rows && whole_tile(m - r); r += TILE_M)
        tile(end, r, column, a + r * lda, lda, panel, of, k, TILE_M, true);
    for (; whole_tile(m - r); r += TILE_M)
        tile(end, r, column, a + r * lda, lda, panel, of, k, TILE_M, false);
    for (; r + 8 <= m; r += 8)
        tile(end, r, column, a + r * lda, lda, panel, of, k, 8, false);
    for (; r + 4 <= m; r += 4)
        tile(end, r, column, a + r * lda, lda, panel, of, k, 4, false);
    for (; r < m; r++)
        tile(end, r, column, a + r * lda, lda, panel, of, k, 1, false);
}

static void bf16_end(const lcf_bf16_end *end, size_t row, size_t column, const float *sums,
                     size_t rows, size_t n)
{
    const panel_columns of = columns_of(n);

    for (size_t r = 0; r < rows; r++) {
        __m512 sum[TILE_M][2] = {
            {_mm512_loadu_ps(sums + r * LCF_PANEL), _mm512_loadu_ps(sums + r * LCF_PANEL + 16)}};

        end_rows(end, row + r, column, sum, of, 1);
    }
}

/* As tile, rows of C being columns of a panel. ahead: the half of A's next panel that is asked for
 * meanwhile. */
ALWAYS_INLINE void tile_across(const lcf_bf16_end *end, size_t row, const uint16_t *a,
                               const uint16_t *b, const uint16_t *ahead, const panel_columns of,
                               size_t k, const size_t rows)
{
    __m512 sum[TILE_M][2];
    size_t i, r;

#pragma GCC unroll 12
    for (r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    ask_for_c(end->c + row * end->c_ld, end->c_ld, rows);
    for (i = 0; i < k; i += 2, a += 2 * LCF_PANEL, b += 2 * LCF_PANEL) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + 32);

        __builtin_prefetch(ahead + i * LCF_PANEL, 0, 2);
#pragma GCC unroll 12
        for (r = 0; r < rows; r++) {
            int32_t pair;
            __m512bh both;

            memcpy(&pair, a + 2 * r, sizeof(pair));
            both = (__m512bh)_mm512_set1_epi32(pair);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], both, b0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], both, b1);
        }
    }
    end_rows(end, row, 0, sum, of, rows);
}

static void bf16_across(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t m,
                        size_t n, size_t k, bool add)
{
    const lcf_bf16_end end = {.c = c, .c_ld = ldc, .onto = add ? c : NULL, .onto_ld = ldc};
    const panel_columns of = columns_of(n);
    const uint16_t *next = a + k * LCF_PANEL;
    size_t r = 0;

    for (; r + TILE_M <= m; r += TILE_M)
        tile_across(&end, r, a + 2 * r, b, next + (r ? LCF_PANEL : 0), of, k, TILE_M);
    for (; r + 8 <= m; r += 8)
        tile_across(&end, r, a + 2 * r, b, next, of, k, 8);
    for (; r < m; r++)
        tile_across(&end, r, a + 2 * r, b, next, of, k, 1);
}

static void bf16_column_sums(float *sums, const uint16_t *panel, size_t n, size_t k)
{
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    const panel_columns of = columns_of(n);
    __m512 low = _mm512_maskz_loadu_ps(of.low, sums);
    __m512 high = _mm512_maskz_loadu_ps(of.high, sums + 16);

    for (size_t i = 0; i < k; i += 2, panel += 2 * LCF_PANEL) {
        low = _mm512_dpbf16_ps(low, ones, (__m512bh)_mm512_loadu_si512(panel));
        high = _mm512_dpbf16_ps(high, ones, (__m512bh)_mm512_loadu_si512(panel + LCF_PANEL));
    }
    _mm512_mask_storeu_ps(sums, of.low, low);
    _mm512_mask_storeu_ps(sums + 16, of.high, high);
}

/* ---- half precision ---- */

/* e^x for x <= 0. source: 2^f for |f| <= 1/2 as in Cephes' exp2f */
ALWAYS_INLINE __m512 exp_of(__m512 x)
{
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f));
    const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, whole);
    __m512 y = _mm512_set1_ps(1.535336188319500e-4f);

    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.339887440266574e-3f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.618437357674640e-3f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.550332471162809e-2f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.402264791363012e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.931472028550421e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

static float softmax_half(uint16_t *kept, float *x, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 most = least, sums = _mm512_setzero_ps(), factor;
    float max, sum;

    for (size_t i = 0; i < n; i += 16)
        most = _mm512_max_ps(_mm512_mask_loadu_ps(least, mask_at(i, n), x + i), most);
    max = _mm512_reduce_max_ps(most);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 v = _mm512_mask_loadu_ps(least, mask, x + i);
        const __m512 e = exp_of(_mm512_sub_ps(v, _mm512_set1_ps(max)));

        sums = _mm512_add_ps(sums, e);
        _mm512_mask_storeu_ps(x + i, mask, e);
    }
    sum = _mm512_reduce_add_ps(sums);
    factor = _mm512_set1_ps(LCF_HALF_ONE / sum);
    for (size_t i = 0; kept && i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);

        _mm256_mask_storeu_epi16(kept + i, mask,
                                 _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return max + logf(sum);
}

static void of_half(uint16_t *y, const uint16_t *x, float scale, size_t n)
{
    const __m512 factor = _mm512_set1_ps(scale);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 mask = mask_at(i, n);
        const __m512 v = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x + i));

        _mm256_mask_storeu_epi16(y + i, mask,
                                 (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(v, factor)));
    }
}

const lcf_bf16 lcf_bf16_avx512 = {.round = bf16_round,
                                  .pair = bf16_pair,
                                  .panel = bf16_panel,
                                  .panel_of_left = bf16_panel_of_left,
                                  .product = bf16_product,
                                  .across = bf16_across,
                                  .column_sums = bf16_column_sums,
                                  .end = bf16_end,
                                  .softmax = softmax_half,
                                  .of_half = of_half};
