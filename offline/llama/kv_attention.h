/*
 * Attention of one or a few consecutive tokens against a paged KV cache, in F32 or F16. Private to
 * this folder.
 *
 * A page holds LCF_KV_PAGE positions of one sequence for all layers and key-value heads. The part
 * of one layer and head is
 *
 *     K  [LCF_KV_PAGE / LCF_KV_LANES, head_dim, LCF_KV_LANES]   a vector holds one component of
 *                                  many positions, so scores need no sum across a vector
 *     V  [LCF_KV_PAGE, value_dim]  value_dim = head_dim rounded up to LCF_KV_LANES, the rest zero
 *
 * Pages are full but for a sequence's last one, and a full page is never written again: copies of a
 * sequence share them. What lies behind the last position of a page is read, but nothing depends on
 * it.
 */
#ifndef LCF_OFFLINE_LLAMA_KV_ATTENTION_H
#define LCF_OFFLINE_LLAMA_KV_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>

#define LCF_KV_PAGE 32
#define LCF_KV_LANES 16

typedef struct lcf_kv_view {     /* the keys and values of one sequence, layer and head */
    unsigned char *const *pages; /* the pages of the sequence */
    size_t offset;               /* of this layer and head in each page, in bytes */
    size_t head_dim, value_dim;
} lcf_kv_view;

typedef struct lcf_kv_queries { /* tokens at consecutive positions, `group` heads of each */
    float *out;                 /* [tokens, group, head_dim], out_stride floats between tokens */
    const float *q;             /* the same with q_stride */
    size_t out_stride, q_stride;
    size_t tokens, group;
    size_t len; /* positions that the first token sees, itself included; the next sees one more */
} lcf_kv_queries;

/* Floats of scratch for these queries. */
static inline size_t lcf_kv_scratch_n(size_t rows, size_t len_max, size_t value_dim)
{
    return rows * ((len_max + LCF_KV_PAGE - 1) / LCF_KV_PAGE * LCF_KV_PAGE + value_dim);
}

/* Kernels for one type of cache. */
typedef struct lcf_kv_kernels {
    size_t size; /* bytes of a stored value */
    /*
     * out = softmax(scale * <q, K>) V for each token and head.
     *
     * order    over components, even and odd ones apart, then over even and odd positions of each
     *          page: a function of what the token sees alone, not of the tokens and heads beside it
     * memory   scratch [lcf_kv_scratch_n(tokens * group, len + tokens - 1, value_dim)]
     */
    void (*attend)(const lcf_kv_queries *queries, const lcf_kv_view *kv, float scale,
                   float *scratch);
    /* The key and value [head_dim] of one position. */
    void (*store)(const lcf_kv_view *kv, size_t position, const float *key, const float *value);
} lcf_kv_kernels;

typedef enum lcf_kv_level { LCF_KV_BASELINE, LCF_KV_AVX2, LCF_KV_AVX512 } lcf_kv_level;

/* NULL where the processor does not have the level. */
const lcf_kv_kernels *lcf_kv_kernels_at(bool f16, lcf_kv_level level);
/* The best there are. */
const lcf_kv_kernels *lcf_kv_kernels_best(bool f16);

extern const lcf_kv_kernels lcf_kv_f32_baseline, lcf_kv_f16_baseline;
#if defined(__x86_64__)
extern const lcf_kv_kernels lcf_kv_f32_avx2, lcf_kv_f16_avx2;
extern const lcf_kv_kernels lcf_kv_f32_avx512, lcf_kv_f16_avx512;
#endif

#endif
