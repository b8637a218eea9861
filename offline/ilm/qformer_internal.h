/*
 * Where the parameters of a Q-Former stand, for the passes that read them. Private to offline/ilm.
 */
#ifndef LCF_OFFLINE_ILM_QFORMER_INTERNAL_H
#define LCF_OFFLINE_ILM_QFORMER_INTERNAL_H

#include "offline/ilm/qformer.h"

#define QFORMER_EPS 1e-12f /* of every LayerNorm, as BERT's */

/* Indices of parameters: a linear layer [out, in] with bias, or a LayerNorm. */
typedef struct qformer_pair {
    size_t w, b;
} qformer_pair;

typedef struct qformer_feed_forward {
    qformer_pair up, down, norm;
} qformer_feed_forward;

typedef struct qformer_layer {
    qformer_pair self_qkv, self_out, self_norm; /* qkv: queries, keys, values one after another */
    bool cross;
    qformer_pair cross_query, cross_kv, cross_out, cross_norm;
    qformer_feed_forward query, text;
} qformer_layer;

struct lcf_qformer {
    lcf_qformer_config config;
    lcf_params params;
    size_t query, word, position, temperature[LCF_QFORMER_SPACES_N], word_bias;
    qformer_pair embed_norm;
    qformer_layer layers[LCF_QFORMER_LAYERS_MAX];
    qformer_pair query_feature, text_feature, match, token, token_norm;
};

#endif
