/*
 * The body of the kernels for one level of instructions and one type of cache: included by each
 * simd_<level>.c, which is compiled with that level's flags and says by KV_F16 what is stored, by
 * KV(name) how functions are called and by KV_TABLE how the table of kernels is.
 *
 * A row is one head of one token. Rows are taken in tiles, which hides the latency of the additions
 * and reads keys and values once for all of them.
 */
#ifndef LCF_OFFLINE_LLAMA_KV_ATTENTION_IMPL_H
#define LCF_OFFLINE_LLAMA_KV_ATTENTION_IMPL_H

#include "common/math/half.h"
#include "common/math/kernels.h"
#include "offline/llama/kv_attention.h"

#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VW 16
#define ROW_TILE 4
#elif defined(__AVX__)
#define VW 8
#define ROW_TILE 2
#else
#define VW 4
#define ROW_TILE 2
#endif
#define LANE_VECS (LCF_KV_LANES / VW)
#define LINE_BYTES 64

typedef float vec __attribute__((vector_size(VW * 4), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vec load_f32(const float *p)
{
    return *(const vec *)p;
}

ALWAYS_INLINE vec load_f16(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined(__AVX__)
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
    return (vec){lcf_f16_widen(p[0]), lcf_f16_widen(p[1]), lcf_f16_widen(p[2]),
                 lcf_f16_widen(p[3])};
#endif
}

ALWAYS_INLINE float narrow_f32(float x)
{
    return x;
}

ALWAYS_INLINE uint16_t narrow_f16(float x)
{
#if defined(__AVX__)
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
    return lcf_f16_narrow(x);
#endif
}

#endif /* what both types share; the rest is there once for each */

#if KV_F16
#define ELEM uint16_t
#else
#define ELEM float
#endif
#define LINE (LINE_BYTES / sizeof(ELEM))

/*
 * Scores of `rows` (a constant) rows against LCF_KV_LANES positions. Pages lie apart, so the
 * processor does not foresee the next one: it is asked for while this one is worked on.
 */
ALWAYS_INLINE void KV(score_tile)(float *scores, size_t stride, const float *const *q,
                                  const ELEM *k, const ELEM *next, size_t rows, size_t head_dim,
                                  float scale)
{
    vec sum[ROW_TILE][2][LANE_VECS];

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < LANE_VECS; v++)
            sum[r][0][v] = sum[r][1][v] = (vec){0};
    for (size_t d = 0; d + 2 <= head_dim; d += 2)
        for (size_t u = 0; u < 2; u++)
            for (size_t v = 0; v < LANE_VECS; v++) {
                size_t at = (d + u) * LCF_KV_LANES + v * VW;
                vec key = KV(load)(k + at);
                if (at % LINE == 0)
                    __builtin_prefetch(next + at);
                for (size_t r = 0; r < rows; r++)
                    sum[r][u][v] += q[r][d + u] * key;
            }
    if (head_dim % 2)
        for (size_t v = 0; v < LANE_VECS; v++)
            for (size_t r = 0; r < rows; r++)
                sum[r][0][v] +=
                    q[r][head_dim - 1] * KV(load)(k + (head_dim - 1) * LCF_KV_LANES + v * VW);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < LANE_VECS; v++)
            *(vec *)(scores + r * stride + v * VW) = (sum[r][0][v] + sum[r][1][v]) * scale;
}

/* sums[r][0 .. LCF_KV_LANES) += p V over n positions of one page, even and odd ones apart. */
ALWAYS_INLINE void KV(value_tile)(float *sums, size_t sums_stride, const float *p, size_t stride,
                                  const ELEM *values, const ELEM *next, size_t value_dim,
                                  size_t rows, size_t n)
{
    vec sum[ROW_TILE][2][LANE_VECS];
    size_t t = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < LANE_VECS; v++) {
            sum[r][0][v] = *(const vec *)(sums + r * sums_stride + v * VW);
            sum[r][1][v] = (vec){0};
        }
    for (; t + 2 <= n; t += 2)
        for (size_t u = 0; u < 2; u++)
            for (size_t v = 0; v < LANE_VECS; v++) {
                vec value = KV(load)(values + (t + u) * value_dim + v * VW);
                if (v == 0)
                    __builtin_prefetch(next + (t + u) * value_dim);
                for (size_t r = 0; r < rows; r++)
                    sum[r][u][v] += p[r * stride + t + u] * value;
            }
    if (t < n)
        for (size_t v = 0; v < LANE_VECS; v++)
            for (size_t r = 0; r < rows; r++)
                sum[r][0][v] += p[r * stride + t] * KV(load)(values + t * value_dim + v * VW);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < LANE_VECS; v++)
            *(vec *)(sums + r * sums_stride + v * VW) = sum[r][0][v] + sum[r][1][v];
}

/* Scores of all rows against the first n positions of a page, up to a multiple of LCF_KV_LANES. */
static void KV(page_scores)(float *scores, size_t stride, const lcf_kv_queries *s, const ELEM *k,
                            const ELEM *next, size_t head_dim, size_t n, float scale)
{
    size_t rows_n = s->tokens * s->group, rows;

    for (size_t r = 0; r < rows_n; r += rows) {
        const float *q[ROW_TILE];
        rows = rows_n - r >= ROW_TILE ? ROW_TILE : rows_n - r >= 2 ? 2 : 1;
        for (size_t i = 0; i < rows; i++)
            q[i] = s->q + (r + i) / s->group * s->q_stride + (r + i) % s->group * head_dim;
        for (size_t at = 0; at < n; at += LCF_KV_LANES) {
            float *out = scores + r * stride + at;
            const ELEM *keys = k + at * head_dim, *next_keys = next + at * head_dim;
            if (rows == ROW_TILE)
                KV(score_tile)(out, stride, q, keys, next_keys, ROW_TILE, head_dim, scale);
            else if (rows == 2)
                KV(score_tile)(out, stride, q, keys, next_keys, 2, head_dim, scale);
            else
                KV(score_tile)(out, stride, q, keys, next_keys, 1, head_dim, scale);
        }
    }
}

static void KV(page_values)(float *sums, const float *p, size_t stride, const ELEM *values,
                            const ELEM *next, const lcf_kv_view *kv, size_t rows_n, size_t n)
{
    for (size_t lane = 0; lane < kv->value_dim; lane += LCF_KV_LANES) {
        size_t r = 0;
        for (; r + ROW_TILE <= rows_n; r += ROW_TILE)
            KV(value_tile)
        (sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride, values + lane,
         next + lane, kv->value_dim, ROW_TILE, n);
#if ROW_TILE > 2
        for (; r + 2 <= rows_n; r += 2)
            KV(value_tile)
        (sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride, values + lane,
         next + lane, kv->value_dim, 2, n);
#endif
        for (; r < rows_n; r++)
            KV(value_tile)
        (sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride, values + lane,
         next + lane, kv->value_dim, 1, n);
    }
}

ALWAYS_INLINE ELEM *KV(part)(const lcf_kv_view *kv, size_t page)
{
    return (ELEM *)(void *)(kv->pages[page] + kv->offset);
}

/* What is read after a page: this head's part of the next one; after the last, the next head's part
 * of the first, which the same thread takes up as a rule. */
ALWAYS_INLINE const ELEM *KV(next_part)(const lcf_kv_view *kv, size_t page, size_t pages_n)
{
    if (page + 1 < pages_n)
        return KV(part)(kv, page + 1);
    return KV(part)(kv, 0) + LCF_KV_PAGE * (kv->head_dim + kv->value_dim);
}

static void KV(attend)(const lcf_kv_queries *s, const lcf_kv_view *kv, float scale, float *scratch)
{
    size_t rows_n = s->tokens * s->group, len_max = s->len + s->tokens - 1;
    size_t pages_n = (len_max + LCF_KV_PAGE - 1) / LCF_KV_PAGE, stride = pages_n * LCF_KV_PAGE;
    size_t values = kv->head_dim * LCF_KV_PAGE;
    float *sums = scratch + rows_n * stride;

    for (size_t page = 0; page < pages_n; page++) {
        size_t first = page * LCF_KV_PAGE;
        size_t n = len_max - first < LCF_KV_PAGE ? len_max - first : LCF_KV_PAGE;
        KV(page_scores)
        (scratch + first, stride, s, KV(part)(kv, page), KV(next_part)(kv, page, pages_n),
         kv->head_dim, n, scale);
    }
    for (size_t r = 0; r < rows_n; r++) {
        size_t len = s->len + r / s->group;
        lcf_softmax(scratch + r * stride, 1, len);
        memset(scratch + r * stride + len, 0, (len_max - len) * sizeof(*scratch));
    }
    memset(sums, 0, rows_n * kv->value_dim * sizeof(*sums));
    for (size_t page = 0; page < pages_n; page++) {
        size_t first = page * LCF_KV_PAGE;
        size_t n = len_max - first < LCF_KV_PAGE ? len_max - first : LCF_KV_PAGE;
        KV(page_values)
        (sums, scratch + first, stride, KV(part)(kv, page) + values,
         KV(next_part)(kv, page, pages_n) + values, kv, rows_n, n);
    }
    for (size_t r = 0; r < rows_n; r++)
        memcpy(s->out + r / s->group * s->out_stride + r % s->group * kv->head_dim,
               sums + r * kv->value_dim, kv->head_dim * sizeof(*s->out));
}

static void KV(store)(const lcf_kv_view *kv, size_t position, const float *key, const float *value)
{
    size_t at = position % LCF_KV_PAGE;
    ELEM *part = KV(part)(kv, position / LCF_KV_PAGE);
    ELEM *k = part + at / LCF_KV_LANES * kv->head_dim * LCF_KV_LANES + at % LCF_KV_LANES;
    ELEM *v = part + kv->head_dim * LCF_KV_PAGE + at * kv->value_dim;

    for (size_t d = 0; d < kv->head_dim; d++) {
        k[d * LCF_KV_LANES] = KV(narrow)(key[d]);
        v[d] = KV(narrow)(value[d]);
    }
    memset(v + kv->head_dim, 0, (kv->value_dim - kv->head_dim) * sizeof(*v));
}

const lcf_kv_kernels KV_TABLE = {sizeof(ELEM), KV(attend), KV(store)};

#undef ELEM
#undef LINE
