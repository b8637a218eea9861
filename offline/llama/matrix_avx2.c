/*
 * Matrix kernels with vectors of 256 bits: see matrix.h for what they read. A panel is worked on in
 * two halves of eight outputs; `half` is the first output of one.
 */
#include "offline/llama/matrix.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { HALF = 8 };

INLINE void store(const lcf_matrix_job *j, size_t half, const __m256 *sums)
{
    for (size_t r = 0; r < j->rows; r++) {
        float lanes[HALF], *y = j->y + r * j->ldy + half;
        _mm256_storeu_ps(lanes, sums[r]);
        for (size_t o = 0; o < HALF && half + o < j->lanes; o++)
            y[o] = j->add ? y[o] + lanes[o] : lanes[o];
    }
}

INLINE void clear(__m256 *sums)
{
    for (size_t r = 0; r < LCF_MATRIX_TILE; r++)
        sums[r] = _mm256_setzero_ps();
}

/* ---- floats ---- */

TARGET void lcf_matrix_f32_avx2(const lcf_matrix_job *j)
{
    for (size_t half = 0; half < LCF_MATRIX_PANEL; half += HALF) {
        const float *w = (const float *)j->panel + half, *x = (const float *)j->tile;
        __m256 sums[LCF_MATRIX_TILE];
        clear(sums);
        for (size_t k = 0; k < j->in; k++, w += LCF_MATRIX_PANEL, x += j->rows) {
            __m256 weights = _mm256_load_ps(w);
            for (size_t r = 0; r < j->rows; r++)
                sums[r] = _mm256_fmadd_ps(weights, _mm256_set1_ps(x[r]), sums[r]);
        }
        store(j, half, sums);
    }
}

TARGET void lcf_matrix_f16_avx2(const lcf_matrix_job *j)
{
    for (size_t half = 0; half < LCF_MATRIX_PANEL; half += HALF) {
        const uint16_t *w = (const uint16_t *)j->panel + half;
        const float *x = (const float *)j->tile;
        __m256 sums[LCF_MATRIX_TILE];
        clear(sums);
        for (size_t k = 0; k < j->in; k++, w += LCF_MATRIX_PANEL, x += j->rows) {
            __m256 weights = _mm256_cvtph_ps(_mm_load_si128((const __m128i *)w));
            for (size_t r = 0; r < j->rows; r++)
                sums[r] = _mm256_fmadd_ps(weights, _mm256_set1_ps(x[r]), sums[r]);
        }
        store(j, half, sums);
    }
}

TARGET void lcf_matrix_bf16_avx2(const lcf_matrix_job *j)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);

    for (size_t half = 0; half < LCF_MATRIX_PANEL; half += HALF) {
        const unsigned char *w = j->panel + 4 * half;
        const uint32_t *x = (const uint32_t *)j->tile; /* pairs */
        __m256 sums[LCF_MATRIX_TILE];
        clear(sums);
        for (size_t k = 0; k < j->in; k += 2, w += 4 * LCF_MATRIX_PANEL, x += j->rows) {
            __m256i pairs = _mm256_load_si256((const __m256i *)w);
            __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
            __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
            for (size_t r = 0; r < j->rows; r++) {
                __m256i both = _mm256_set1_epi32((int)x[r]);
                sums[r] = _mm256_fmadd_ps(even, _mm256_castsi256_ps(_mm256_slli_epi32(both, 16)),
                                          sums[r]);
                sums[r] = _mm256_fmadd_ps(odd, _mm256_castsi256_ps(_mm256_and_si256(both, upper)),
                                          sums[r]);
            }
        }
        store(j, half, sums);
    }
}

/* ---- integers ---- */

/*
 * sums += four signed products per lane. There is no instruction for i8 times i8: the sign of the
 * weight moves to the other factor. |w| <= 128 and |x| <= 127 keep the sum of two below 2^15.
 */
INLINE __m256i dot4(__m256i sums, __m256i w, __m256i x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));

    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE void add_block(__m256 *totals, const __m256i *sums, const uint16_t *weight_scales,
                      const float *scales, size_t rows)
{
    __m256 w = _mm256_cvtph_ps(_mm_load_si128((const __m128i *)weight_scales));

    for (size_t r = 0; r < rows; r++)
        totals[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]),
                                    _mm256_mul_ps(w, _mm256_set1_ps(scales[r])), totals[r]);
}

TARGET void lcf_matrix_q8_avx2(const lcf_matrix_job *j)
{
    const __m256i zero = _mm256_set1_epi8((char)128);
    const size_t rows = j->rows;

    for (size_t half = 0; half < LCF_MATRIX_PANEL; half += HALF) {
        const uint16_t *scales = (const uint16_t *)j->panel + half;
        const unsigned char *w = j->panel + lcf_matrix_scale_bytes(j->in) + 4 * half;
        const int32_t *x = (const int32_t *)j->tile;
        __m256 totals[LCF_MATRIX_TILE];
        clear(totals);
        for (size_t k = 0; k < j->in; k += LCF_MATRIX_BLOCK, x += 10 * rows) {
            __m256i sums[LCF_MATRIX_TILE] = {_mm256_setzero_si256()};
            for (size_t g = 0; g < 8; g++, w += 4 * LCF_MATRIX_PANEL) {
                /* value + 128 to value: the offset in x is for unsigned factors, not used here */
                __m256i weights = _mm256_xor_si256(_mm256_load_si256((const __m256i *)w), zero);
                for (size_t r = 0; r < rows; r++)
                    sums[r] = dot4(sums[r], weights, _mm256_set1_epi32(x[(2 + g) * rows + r]));
            }
            add_block(totals, sums, scales, (const float *)(x + rows), rows);
            scales += LCF_MATRIX_PANEL;
        }
        store(j, half, totals);
    }
}

TARGET void lcf_matrix_q4_avx2(const lcf_matrix_job *j)
{
    const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_set1_epi8(8);
    const size_t rows = j->rows;

    for (size_t half = 0; half < LCF_MATRIX_PANEL; half += HALF) {
        const uint16_t *scales = (const uint16_t *)j->panel + half;
        const unsigned char *w = j->panel + lcf_matrix_scale_bytes(j->in) + 4 * half;
        const int32_t *x = (const int32_t *)j->tile;
        __m256 totals[LCF_MATRIX_TILE];
        clear(totals);
        for (size_t k = 0; k < j->in; k += LCF_MATRIX_BLOCK, x += 10 * rows) {
            __m256i sums[LCF_MATRIX_TILE] = {_mm256_setzero_si256()};
            for (size_t g = 0; g < 4; g++, w += 4 * LCF_MATRIX_PANEL) {
                __m256i both = _mm256_load_si256((const __m256i *)w);
                __m256i low = _mm256_sub_epi8(_mm256_and_si256(both, nibble), zero);
                __m256i high =
                    _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(both, 4), nibble), zero);
                for (size_t r = 0; r < rows; r++) {
                    sums[r] = dot4(sums[r], low, _mm256_set1_epi32(x[(2 + g) * rows + r]));
                    sums[r] = dot4(sums[r], high, _mm256_set1_epi32(x[(6 + g) * rows + r]));
                }
            }
            add_block(totals, sums, scales, (const float *)(x + rows), rows);
            scales += LCF_MATRIX_PANEL;
        }
        store(j, half, totals);
    }
}

/* ---- activations ---- */

/* Rows become columns. */
INLINE void transpose(__m256i v[HALF])
{
    __m256i a[HALF], b[HALF];

    for (size_t i = 0; i < HALF; i += 2) {
        a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (size_t i = 0; i < HALF; i += 4)
        for (size_t j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm256_unpacklo_epi64(a[i + j], a[i + j + 2]);
            b[i + 2 * j + 1] = _mm256_unpackhi_epi64(a[i + j], a[i + j + 2]);
        }
    for (size_t i = 0; i < HALF / 2; i++) {
        v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

TARGET size_t lcf_matrix_tile_floats_avx2(float *tile, const float *x, size_t ldx, size_t in)
{
    size_t k = 0;

    for (; k + HALF <= in; k += HALF) {
        __m256i v[HALF];
        for (size_t r = 0; r < HALF; r++)
            v[r] = _mm256_loadu_si256((const __m256i *)(x + r * ldx + k));
        transpose(v);
        for (size_t i = 0; i < HALF; i++)
            _mm256_storeu_si256((__m256i *)(tile + (k + i) * HALF), v[i]);
    }
    return k;
}

/* Eight values to bf16, each in the upper half of its lane; a NaN stays one. */
INLINE __m256i narrow(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));

    return _mm256_blendv_epi8(rounded, quiet,
                              _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}

/* The pairs of eight values, in the lower half of each 64-bit lane. */
INLINE __m256i pairs(const float *x)
{
    const __m256i v = narrow(_mm256_loadu_ps(x));

    return _mm256_or_si256(
        _mm256_and_si256(_mm256_srli_epi64(v, 16), _mm256_set1_epi64x(0xffff)),
        _mm256_and_si256(_mm256_srli_epi64(v, 32), _mm256_set1_epi64x(0xffff0000)));
}

TARGET size_t lcf_matrix_tile_pairs_avx2(uint16_t *tile, const float *x, size_t ldx, size_t in)
{
    size_t k = 0;

    for (; k + 2 * HALF <= in; k += 2 * HALF) {
        __m256i v[HALF];
        for (size_t r = 0; r < HALF; r++) {
            __m256 low = _mm256_castsi256_ps(pairs(x + r * ldx + k));
            __m256 high = _mm256_castsi256_ps(pairs(x + r * ldx + k + HALF));
            v[r] = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)),
                                            0xd8);
        }
        transpose(v);
        for (size_t i = 0; i < HALF; i++)
            _mm256_storeu_si256((__m256i *)(tile + (k / 2 + i) * 2 * HALF), v[i]);
    }
    return k;
}
