/*
 * Attention of one token against a paged KV cache. Private to this folder.
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
    size_t len;              /* positions to attend to, >= 1 */
    size_t head_dim, value_dim;
} lcf_kv_view;

/*
 * out[g] = softmax(scale * <q[g], K>) V for the heads that share these keys and values.
 *
 * shapes   out, q [group, head_dim]; scratch [group, len rounded up to LCF_KV_PAGE] plus
 *          [group, value_dim]
 * order    over components, then over positions in four interleaved sums: a function of len alone
 */
typedef void (*lcf_kv_attend_fn)(float *out, const float *q, const lcf_kv_view *kv, size_t group,
                                 float scale, float *scratch);

/* For this processor. */
lcf_kv_attend_fn lcf_kv_attend_best(void);

/* The levels, for tests that hold one to another. */
void lcf_kv_attend_baseline(float *out, const float *q, const lcf_kv_view *kv, size_t group,
                            float scale, float *scratch);
#if defined(__x86_64__)
void lcf_kv_attend_avx2(float *out, const float *q, const lcf_kv_view *kv, size_t group,
                        float scale, float *scratch);
void lcf_kv_attend_avx512(float *out, const float *q, const lcf_kv_view *kv, size_t group,
                          float scale, float *scratch);
#endif

#endif
