/*
 * bf16 products with AVX512-BF16. A tile of TILE_M rows by a panel of two vectors stays in
 * registers while k runs; rounding is the processor's (to nearest even, denormals are zero).
 */
#include "common/math/bf16.h"
#include "common/math/packed.h"

#include <immintrin.h>
#include <string.h>

#define TILE_M 12
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static __mmask16 tail_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static void bf16_round(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;

    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16),
                                                                _mm512_loadu_ps(x + i)));
    for (; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? tail_mask(n - i) : (__mmask16)0xffff;

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
        __mmask16 mask = n - i < 16 ? tail_mask(n - i) : (__mmask16)0xffff;

        _mm512_mask_storeu_epi32(
            y + 2 * i, mask,
            paired(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i)));
    }
}

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

/* rows is a constant where this is inlined. n: columns of C in the panel. */
ALWAYS_INLINE void tile(float *c, size_t ldc, const uint16_t *a, size_t lda, const uint16_t *panel,
                        size_t n, size_t k, bool add, const size_t rows)
{
    const __mmask16 low = n < 16 ? tail_mask(n) : (__mmask16)0xffff;
    const __mmask16 high = n < 32 ? (n < 16 ? 0 : tail_mask(n - 16)) : (__mmask16)0xffff;
    __m512 sum[TILE_M][2];
    size_t i, r;

#pragma GCC unroll 12
    for (r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    ask_for_c(c, ldc, rows);
    for (i = 0; i < k; i += 2) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(panel + i * LCF_PANEL);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(panel + i * LCF_PANEL + 32);

        ask_for_a(a, lda, i, rows);
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
#pragma GCC unroll 12
    for (r = 0; r < rows; r++) {
        float *to = c + r * ldc;

        if (add) {
            sum[r][0] = _mm512_add_ps(_mm512_maskz_loadu_ps(low, to), sum[r][0]);
            sum[r][1] = _mm512_add_ps(_mm512_maskz_loadu_ps(high, to + 16), sum[r][1]);
        }
        _mm512_mask_storeu_ps(to, low, sum[r][0]);
        _mm512_mask_storeu_ps(to + 16, high, sum[r][1]);
    }
}

static void bf16_product(float *c, size_t ldc, const uint16_t *a, size_t lda, const uint16_t *panel,
                         size_t m, size_t n, size_t k, bool add)
{
    size_t r = 0;

    for (; r + TILE_M <= m; r += TILE_M)
        tile(c + r * ldc, ldc, a + r * lda, lda, panel, n, k, add, TILE_M);
    for (; r + 4 <= m; r += 4)
        tile(c + r * ldc, ldc, a + r * lda, lda, panel, n, k, add, 4);
    for (; r < m; r++)
        tile(c + r * ldc, ldc, a + r * lda, lda, panel, n, k, add, 1);
}

static void to_half(uint16_t *y, const float *x, size_t n)
{
    const __m512 most = _mm512_set1_ps(65504.0f), least = _mm512_set1_ps(-65504.0f);
    size_t i;

    for (i = 0; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? tail_mask(n - i) : (__mmask16)0xffff;
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);

        v = _mm512_min_ps(most, _mm512_max_ps(least, v)); /* a NaN, being second, stays one */
        _mm256_mask_storeu_epi16(y + i, mask,
                                 _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

static void from_half(float *y, const uint16_t *x, size_t n)
{
    size_t i;

    for (i = 0; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? tail_mask(n - i) : (__mmask16)0xffff;

        _mm512_mask_storeu_ps(y + i, mask, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x + i)));
    }
}

const lcf_bf16 lcf_bf16_avx512 = {bf16_round,   bf16_pair, bf16_panel,
                                  bf16_product, to_half,   from_half};
