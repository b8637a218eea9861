/*
 * Matrix kernels with vectors of 512 bits: see matrix.h for what they read. A kernel holds the sums
 * of all rows of a tile in registers, so the number of rows is a constant of each copy of its loop.
 *
 * Each function states the instructions that it needs; the caller asks the processor first.
 */
#include "offline/llama/matrix.h"

#include <immintrin.h>

#define TARGET(extra) __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma" extra)))
#define INLINE(extra) static inline __attribute__((always_inline)) TARGET(extra)

enum { LINE = 64 };

/* The rows of a tile: a constant number, and never a call of memset. */
#define EACH_ROW _Pragma("GCC unroll 8") for (size_t r = 0; r < rows; r++)

/* One copy of the loop for each number of rows. */
#define KERNEL(name, body, extra)                      \
    TARGET(extra) void name(const lcf_matrix_job *job) \
    {                                                  \
        switch (job->rows) {                           \
        case 1:                                        \
            body(job, 1);                              \
            break;                                     \
        case 2:                                        \
            body(job, 2);                              \
            break;                                     \
        case 3:                                        \
            body(job, 3);                              \
            break;                                     \
        case 4:                                        \
            body(job, 4);                              \
            break;                                     \
        case 5:                                        \
            body(job, 5);                              \
            break;                                     \
        case 6:                                        \
            body(job, 6);                              \
            break;                                     \
        case 7:                                        \
            body(job, 7);                              \
            break;                                     \
        default:                                       \
            body(job, LCF_MATRIX_TILE);                \
        }                                              \
    }

INLINE("") void store(const lcf_matrix_job *j, const __m512 *sums, const size_t rows)
{
    const __mmask16 lanes = (__mmask16)((1u << j->lanes) - 1);

    for (size_t r = 0; r < rows; r++) {
        float *y = j->y + r * j->ldy;
        __m512 sum = sums[r];
        if (j->add)
            sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y), sum);
        _mm512_mask_storeu_ps(y, lanes, sum);
    }
}

/* The rows of y will be written when the sums are complete: they are on their way meanwhile. */
INLINE("") void ask_for_y(const lcf_matrix_job *j, const size_t rows)
{
    EACH_ROW
    __builtin_prefetch(j->y + r * j->ldy, 1, 3);
}

/* ---- floats ---- */

INLINE("") void f32_rows(const lcf_matrix_job *j, const size_t rows)
{
    const float *w = (const float *)j->panel, *x = (const float *)j->tile;
    const unsigned char *next = j->next + j->ahead;
    __m512 sums[LCF_MATRIX_TILE];

    ask_for_y(j, rows);
    EACH_ROW
    sums[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < j->in; k++, w += LCF_MATRIX_PANEL, x += rows, next += j->ahead_step) {
        __m512 weights = _mm512_load_ps(w);
        __builtin_prefetch(next, 0, 2);
        EACH_ROW
        sums[r] = _mm512_fmadd_ps(weights, _mm512_set1_ps(x[r]), sums[r]);
    }
    store(j, sums, rows);
}

INLINE("") void f16_rows(const lcf_matrix_job *j, const size_t rows)
{
    const unsigned char *w = j->panel, *next = j->next + j->ahead;
    const float *x = (const float *)j->tile;
    __m512 sums[LCF_MATRIX_TILE];

    ask_for_y(j, rows);
    EACH_ROW
    sums[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < j->in; k++, w += LINE / 2, x += rows, next += j->ahead_step / 2) {
        __m512 weights = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)w));
        __builtin_prefetch(next, 0, 2);
        EACH_ROW
        sums[r] = _mm512_fmadd_ps(weights, _mm512_set1_ps(x[r]), sums[r]);
    }
    store(j, sums, rows);
}

INLINE(",avx512bf16") void bf16_rows(const lcf_matrix_job *j, const size_t rows)
{
    const unsigned char *w = j->panel, *next = j->next + j->ahead;
    const int32_t *x = (const int32_t *)j->tile; /* pairs */
    __m512 sums[LCF_MATRIX_TILE];

    ask_for_y(j, rows);
    EACH_ROW
    sums[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < j->in; k += 2, w += LINE, x += rows, next += j->ahead_step) {
        __m512i weights = _mm512_load_si512(w);
        __builtin_prefetch(next, 0, 2);
        EACH_ROW
        sums[r] = _mm512_dpbf16_ps(sums[r], (__m512bh)weights, (__m512bh)_mm512_set1_epi32(x[r]));
    }
    store(j, sums, rows);
}

/* ---- integers ---- */

/* totals += sums of one block, times both scales */
INLINE(",avx512vnni")
void add_block(__m512 *totals, const __m512i *sums, __m512 weight_scales, const float *scales,
               const size_t rows)
{
    EACH_ROW
    totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]),
                                _mm512_mul_ps(weight_scales, _mm512_set1_ps(scales[r])), totals[r]);
}

INLINE(",avx512vnni") void q8_rows(const lcf_matrix_job *j, const size_t rows)
{
    const size_t scale_bytes = lcf_matrix_scale_bytes(j->in);
    const unsigned char *scales = j->panel, *w = j->panel + scale_bytes;
    const unsigned char *next = j->next + scale_bytes + j->ahead;
    const int32_t *x = (const int32_t *)j->tile;
    __m512 totals[LCF_MATRIX_TILE];

    ask_for_y(j, rows);
    EACH_ROW
    totals[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < j->in; k += LCF_MATRIX_BLOCK, scales += LINE / 2, x += 10 * rows) {
        const float *x_scales = (const float *)(x + rows);
        const int32_t *quads = x + 2 * rows;
        __m512i sums[LCF_MATRIX_TILE];
        __builtin_prefetch(j->next + (scales - j->panel), 0, 2);
        EACH_ROW
        sums[r] = _mm512_set1_epi32(x[r]);
        for (size_t g = 0; g < 8; g++, w += LINE, next += j->ahead_step) {
            __m512i weights = _mm512_load_si512(w);
            __builtin_prefetch(next, 0, 2);
            EACH_ROW
            sums[r] = _mm512_dpbusd_epi32(sums[r], weights, _mm512_set1_epi32(quads[g * rows + r]));
        }
        add_block(totals, sums, _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)scales)),
                  x_scales, rows);
    }
    store(j, totals, rows);
}

INLINE(",avx512vnni") void q4_rows(const lcf_matrix_job *j, const size_t rows)
{
    const size_t scale_bytes = lcf_matrix_scale_bytes(j->in);
    const unsigned char *scales = j->panel, *w = j->panel + scale_bytes;
    const unsigned char *next = j->next + scale_bytes + j->ahead;
    const int32_t *x = (const int32_t *)j->tile;
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512 totals[LCF_MATRIX_TILE];

    ask_for_y(j, rows);
    EACH_ROW
    totals[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < j->in; k += LCF_MATRIX_BLOCK, scales += LINE / 2, x += 10 * rows) {
        const float *x_scales = (const float *)(x + rows);
        const int32_t *quads = x + 2 * rows;
        __m512i sums[LCF_MATRIX_TILE];
        __builtin_prefetch(j->next + (scales - j->panel), 0, 2);
        EACH_ROW
        sums[r] = _mm512_set1_epi32(x[r]);
        for (size_t g = 0; g < 4; g++, w += LINE, next += j->ahead_step) {
            __m512i both = _mm512_load_si512(w), low = _mm512_and_si512(both, nibble);
            __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
            __builtin_prefetch(next, 0, 2);
            EACH_ROW
            sums[r] = _mm512_dpbusd_epi32(sums[r], low, _mm512_set1_epi32(quads[g * rows + r]));
            EACH_ROW
            sums[r] =
                _mm512_dpbusd_epi32(sums[r], high, _mm512_set1_epi32(quads[(g + 4) * rows + r]));
        }
        add_block(totals, sums, _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)scales)),
                  x_scales, rows);
    }
    store(j, totals, rows);
}

KERNEL(lcf_matrix_f32_avx512, f32_rows, "")
KERNEL(lcf_matrix_f16_avx512, f16_rows, "")
KERNEL(lcf_matrix_bf16_avx512bf16, bf16_rows, ",avx512bf16")
KERNEL(lcf_matrix_q8_avx512vnni, q8_rows, ",avx512vnni")
KERNEL(lcf_matrix_q4_avx512vnni, q4_rows, ",avx512vnni")
