/*
 * The body of lcf_kv_attend_<level>: included once by each simd_<level>.c, which is compiled with
 * that level's flags and names the function in KV_ATTEND.
 *
 * A row is one head of one token. Rows are taken in tiles, which hides the latency of the additions
 * and reads keys and values once for all of them.
 */
#include "common/math/kernels.h"
#include "offline/llama/kv_attention.h"

#include <string.h>

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
#define SCORE_VECS 2 /* vectors of positions per tile */
#define LANE_VECS (LCF_KV_LANES / VW)
#define LINE 16 /* floats of a cache line */

typedef float vec __attribute__((vector_size(VW * 4), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * Scores of `rows` (a constant) rows against SCORE_VECS vectors of positions. Pages lie apart, so
 * the processor does not foresee the next one: it is asked for while this one is worked on.
 */
ALWAYS_INLINE void score_tile(float *scores, size_t stride, const float *const *q, const float *k,
                              const float *next, size_t rows, size_t head_dim, float scale)
{
    vec sum[ROW_TILE][SCORE_VECS];

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < SCORE_VECS; v++)
            sum[r][v] = (vec){0};
    for (size_t d = 0; d < head_dim; d++)
        for (size_t v = 0; v < SCORE_VECS; v++) {
            vec key = *(const vec *)(k + d * LCF_KV_PAGE + v * VW);
            if (v * VW % LINE == 0)
                __builtin_prefetch(next + d * LCF_KV_PAGE + v * VW);
            for (size_t r = 0; r < rows; r++)
                sum[r][v] += q[r][d] * key;
        }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < SCORE_VECS; v++)
            *(vec *)(scores + r * stride + v * VW) = sum[r][v] * scale;
}

/* sums[r][0 .. LCF_KV_LANES) += p V over n positions of one page, even and odd ones apart. */
ALWAYS_INLINE void value_tile(float *sums, size_t sums_stride, const float *p, size_t stride,
                              const float *values, const float *next, size_t value_dim, size_t rows,
                              size_t n)
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
                vec value = *(const vec *)(values + (t + u) * value_dim + v * VW);
                if (v == 0)
                    __builtin_prefetch(next + (t + u) * value_dim);
                for (size_t r = 0; r < rows; r++)
                    sum[r][u][v] += p[r * stride + t + u] * value;
            }
    if (t < n)
        for (size_t v = 0; v < LANE_VECS; v++)
            for (size_t r = 0; r < rows; r++)
                sum[r][0][v] += p[r * stride + t] * *(const vec *)(values + t * value_dim + v * VW);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < LANE_VECS; v++)
            *(vec *)(sums + r * sums_stride + v * VW) = sum[r][0][v] + sum[r][1][v];
}

static void page_scores(float *scores, size_t stride, const lcf_kv_queries *s, const float *k,
                        const float *next, size_t head_dim, float scale)
{
    size_t rows_n = s->tokens * s->group, r = 0;

    while (r < rows_n) {
        size_t rows = rows_n - r < ROW_TILE ? 1 : ROW_TILE;
        const float *q[ROW_TILE];
        for (size_t i = 0; i < rows; i++)
            q[i] = s->q + (r + i) / s->group * s->q_stride + (r + i) % s->group * head_dim;
        if (ROW_TILE > 2 && rows == 1 && rows_n - r >= 2) {
            rows = 2;
            q[1] = s->q + (r + 1) / s->group * s->q_stride + (r + 1) % s->group * head_dim;
        }
        for (size_t at = 0; at < LCF_KV_PAGE; at += SCORE_VECS * VW) {
            float *out = scores + r * stride + at;
            if (rows == ROW_TILE)
                score_tile(out, stride, q, k + at, next + at, ROW_TILE, head_dim, scale);
            else if (rows == 2)
                score_tile(out, stride, q, k + at, next + at, 2, head_dim, scale);
            else
                score_tile(out, stride, q, k + at, next + at, 1, head_dim, scale);
        }
        r += rows;
    }
}

static void page_values(float *sums, const float *p, size_t stride, const float *values,
                        const float *next, const lcf_kv_view *kv, size_t rows_n, size_t n)
{
    for (size_t lane = 0; lane < kv->value_dim; lane += LCF_KV_LANES) {
        size_t r = 0;
        for (; r + ROW_TILE <= rows_n; r += ROW_TILE)
            value_tile(sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride,
                       values + lane, next + lane, kv->value_dim, ROW_TILE, n);
#if ROW_TILE > 2
        for (; r + 2 <= rows_n; r += 2)
            value_tile(sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride,
                       values + lane, next + lane, kv->value_dim, 2, n);
#endif
        for (; r < rows_n; r++)
            value_tile(sums + r * kv->value_dim + lane, kv->value_dim, p + r * stride, stride,
                       values + lane, next + lane, kv->value_dim, 1, n);
    }
}

void KV_ATTEND(const lcf_kv_queries *s, const lcf_kv_view *kv, float scale, float *scratch)
{
    size_t rows_n = s->tokens * s->group, len_max = s->len + s->tokens - 1;
    size_t pages_n = (len_max + LCF_KV_PAGE - 1) / LCF_KV_PAGE, stride = pages_n * LCF_KV_PAGE;
    size_t values = kv->offset + kv->head_dim * LCF_KV_PAGE;
    float *sums = scratch + rows_n * stride;

    for (size_t page = 0; page < pages_n; page++)
        page_scores(scratch + page * LCF_KV_PAGE, stride, s, kv->pages[page] + kv->offset,
                    kv->pages[page + (page + 1 < pages_n)] + kv->offset, kv->head_dim, scale);
    for (size_t r = 0; r < rows_n; r++) {
        size_t len = s->len + r / s->group;
        lcf_softmax(scratch + r * stride, 1, len);
        memset(scratch + r * stride + len, 0, (len_max - len) * sizeof(*scratch));
    }
    memset(sums, 0, rows_n * kv->value_dim * sizeof(*sums));
    for (size_t page = 0; page < pages_n; page++) {
        size_t first = page * LCF_KV_PAGE;
        size_t n = len_max - first < LCF_KV_PAGE ? len_max - first : LCF_KV_PAGE;
        page_values(sums, scratch + first, stride, kv->pages[page] + values,
                    kv->pages[page + (page + 1 < pages_n)] + values, kv, rows_n, n);
    }
    for (size_t r = 0; r < rows_n; r++)
        memcpy(s->out + r / s->group * s->out_stride + r % s->group * kv->head_dim,
               sums + r * kv->value_dim, kv->head_dim * sizeof(*s->out));
}
