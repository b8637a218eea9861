/*
 * The body of lcf_kv_attend_<level>: included once by each kv_attention_<level>.c, which is
 * compiled with that level's flags and names the function in KV_ATTEND.
 */
#include "common/math/kernels.h"
#include "offline/llama/kv_attention.h"

#include <string.h>

#if defined(__AVX512F__)
#define VW 16
#elif defined(__AVX__)
#define VW 8
#else
#define VW 4
#endif
#define PAGE_VECS (LCF_KV_PAGE / VW)
#define LANE_VECS (LCF_KV_LANES / VW)

typedef float vec __attribute__((vector_size(VW * 4), aligned(4), may_alias));

/* scores[0 .. LCF_KV_PAGE) of one head against one page. */
static inline void page_scores(float *scores, const float *q, const float *k, size_t head_dim,
                               float scale)
{
    vec sum[PAGE_VECS];

    for (size_t v = 0; v < PAGE_VECS; v++)
        sum[v] = (vec){0};
    for (size_t d = 0; d < head_dim; d++)
        for (size_t v = 0; v < PAGE_VECS; v++)
            sum[v] += q[d] * *(const vec *)(k + d * LCF_KV_PAGE + v * VW);
    for (size_t v = 0; v < PAGE_VECS; v++)
        *(vec *)(scores + v * VW) = sum[v] * scale;
}

/* The same for two heads, which hides the latency of the additions and reads K once. */
static inline void page_scores_pair(float *scores_a, float *scores_b, const float *qa,
                                    const float *qb, const float *k, size_t head_dim, float scale)
{
    vec a[PAGE_VECS], b[PAGE_VECS];

    for (size_t v = 0; v < PAGE_VECS; v++)
        a[v] = b[v] = (vec){0};
    for (size_t d = 0; d < head_dim; d++)
        for (size_t v = 0; v < PAGE_VECS; v++) {
            vec key = *(const vec *)(k + d * LCF_KV_PAGE + v * VW);
            a[v] += qa[d] * key;
            b[v] += qb[d] * key;
        }
    for (size_t v = 0; v < PAGE_VECS; v++) {
        *(vec *)(scores_a + v * VW) = a[v] * scale;
        *(vec *)(scores_b + v * VW) = b[v] * scale;
    }
}

/* out[0 .. LCF_KV_LANES) += p V over n positions of one page, in four interleaved sums. */
static inline void page_values(float *out, const float *p, const float *values, size_t n,
                               size_t value_dim)
{
    vec sum[4][LANE_VECS];
    size_t t = 0;

    for (size_t v = 0; v < LANE_VECS; v++) {
        sum[0][v] = *(const vec *)(out + v * VW);
        sum[1][v] = sum[2][v] = sum[3][v] = (vec){0};
    }
    for (; t + 4 <= n; t += 4)
        for (size_t u = 0; u < 4; u++)
            for (size_t v = 0; v < LANE_VECS; v++)
                sum[u][v] += p[t + u] * *(const vec *)(values + (t + u) * value_dim + v * VW);
    for (; t < n; t++)
        for (size_t v = 0; v < LANE_VECS; v++)
            sum[0][v] += p[t] * *(const vec *)(values + t * value_dim + v * VW);
    for (size_t v = 0; v < LANE_VECS; v++)
        *(vec *)(out + v * VW) = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
}

static void all_scores(float *scores, size_t stride, const float *q, const lcf_kv_view *kv,
                       size_t group, float scale)
{
    for (size_t page = 0; page * LCF_KV_PAGE < kv->len; page++) {
        const float *k = kv->pages[page] + kv->offset;
        float *at = scores + page * LCF_KV_PAGE;
        size_t g = 0;
        for (; g + 2 <= group; g += 2)
            page_scores_pair(at + g * stride, at + (g + 1) * stride, q + g * kv->head_dim,
                             q + (g + 1) * kv->head_dim, k, kv->head_dim, scale);
        if (g < group)
            page_scores(at + g * stride, q + g * kv->head_dim, k, kv->head_dim, scale);
    }
}

static void all_values(float *sums, const float *p, size_t stride, const lcf_kv_view *kv,
                       size_t group)
{
    memset(sums, 0, group * kv->value_dim * sizeof(*sums));
    for (size_t page = 0; page * LCF_KV_PAGE < kv->len; page++) {
        const float *values = kv->pages[page] + kv->offset + kv->head_dim * LCF_KV_PAGE;
        size_t first = page * LCF_KV_PAGE;
        size_t n = kv->len - first < LCF_KV_PAGE ? kv->len - first : LCF_KV_PAGE;
        for (size_t g = 0; g < group; g++)
            for (size_t lane = 0; lane < kv->value_dim; lane += LCF_KV_LANES)
                page_values(sums + g * kv->value_dim + lane, p + g * stride + first, values + lane,
                            n, kv->value_dim);
    }
}

void KV_ATTEND(float *out, const float *q, const lcf_kv_view *kv, size_t group, float scale,
               float *scratch)
{
    size_t stride = (kv->len + LCF_KV_PAGE - 1) / LCF_KV_PAGE * LCF_KV_PAGE;
    float *sums = scratch + group * stride;

    all_scores(scratch, stride, q, kv, group, scale);
    for (size_t g = 0; g < group; g++)
        lcf_softmax(scratch + g * stride, 1, kv->len);
    all_values(sums, scratch, stride, kv, group);
    for (size_t g = 0; g < group; g++)
        memcpy(out + g * kv->head_dim, sums + g * kv->value_dim, kv->head_dim * sizeof(*out));
}
