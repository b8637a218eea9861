/*
 * Attention of one or a few consecutive tokens against a paged KV cache. Private to this folder.
 *
 * A page holds LCF_KV_PAGE positions of one sequence for all layers and key-value heads. The part
 * of one layer and head is
 *
 *     K  [head_dim, LCF_KV_PAGE]   transposed: one vector holds one component of many positions, so
 *                                  scores need no sum across a vector
 *     V  [LCF_KV_PAGE, value_dim]  value_dim = head_dim rounded up to LCF_KV_LANES, the rest zero
 *
 * Pages are full but for a sequence's last one, and a full page is never written again: copies of a
 * sequence share them.
 */
#ifndef LCF_OFFLINE_LLAMA_KV_ATTENTION_H
#define LCF_OFFLINE_LLAMA_KV_ATTENTION_H

#include <stddef.h>

#define LCF_KV_PAGE 32
#define LCF_KV_LANES 16

typedef struct lcf_kv_view { /* the keys and values of one sequence, layer and head */
    float *const *pages;     /* the pages of the sequence */
    size_t offset;           /* of this layer and head in each page, in floats */
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

/*
 * out = softmax(scale * <q, K>) V for each token and head.
 *
 * order    over components, then over even and odd positions of each page: a function of what the
 *          token sees alone, not of the tokens and heads beside it
 * memory   scratch [lcf_kv_scratch_n(tokens * group, len + tokens - 1, value_dim)]
 */
typedef void (*lcf_kv_attend_fn)(const lcf_kv_queries *queries, const lcf_kv_view *kv, float scale,
                                 float *scratch);

/* For this processor. */
lcf_kv_attend_fn lcf_kv_attend_best(void);

/* The levels, for tests that hold one to another. */
void lcf_kv_attend_baseline(const lcf_kv_queries *queries, const lcf_kv_view *kv, float scale,
                            float *scratch);
#if defined(__x86_64__)
void lcf_kv_attend_avx2(const lcf_kv_queries *queries, const lcf_kv_view *kv, float scale,
                        float *scratch);
void lcf_kv_attend_avx512(const lcf_kv_queries *queries, const lcf_kv_view *kv, float scale,
                          float *scratch);
#endif

#endif
