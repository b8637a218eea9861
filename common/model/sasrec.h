/*
 * The network of SASRec, for the next-item model and for the ranking backbone: causal
 * self-attention over sequences of item vectors.
 *
 *     x = sqrt(d) item + position
 *     q = LayerNorm(x);  x = q + Wo attention(Wq q, Wk x, Wv x)
 *     n = LayerNorm(x);  x = n + W2 relu(W1 n)            per block, then a last LayerNorm
 *
 * Positions count from the oldest item that is seen. Queries alone are normalised before the
 * attention, and keys have no bias: it would add the same to all scores of a query. Dropout of the
 * attention's output stands for that of its weights. Private to common/model.
 *
 * source   Kang and McAuley 2018
 */
#ifndef LCF_COMMON_MODEL_SASREC_H
#define LCF_COMMON_MODEL_SASREC_H

#include "common/nn/tape.h"

#include <stddef.h>
#include <stdint.h>

/* A block's parameters, and how they start; d the width of an item, h of the feed-forward part. */
#define SASREC_PARAMS(X)                               \
    X(NORM1_W, "norm1.w", d, 0, LCF_INIT_ONE)          \
    X(NORM1_B, "norm1.b", d, 0, LCF_INIT_ZERO)         \
    X(Q_W, "q.w", d, d, LCF_INIT_XAVIER_UNIFORM)       \
    X(Q_B, "q.b", d, 0, LCF_INIT_ZERO)                 \
    X(K_W, "k.w", d, d, LCF_INIT_XAVIER_UNIFORM)       \
    X(V_W, "v.w", d, d, LCF_INIT_XAVIER_UNIFORM)       \
    X(V_B, "v.b", d, 0, LCF_INIT_ZERO)                 \
    X(O_W, "o.w", d, d, LCF_INIT_XAVIER_UNIFORM)       \
    X(O_B, "o.b", d, 0, LCF_INIT_ZERO)                 \
    X(NORM2_W, "norm2.w", d, 0, LCF_INIT_ONE)          \
    X(NORM2_B, "norm2.b", d, 0, LCF_INIT_ZERO)         \
    X(FFN1_W, "ffn1.w", h, d, LCF_INIT_XAVIER_UNIFORM) \
    X(FFN1_B, "ffn1.b", h, 0, LCF_INIT_ZERO)           \
    X(FFN2_W, "ffn2.w", d, h, LCF_INIT_XAVIER_UNIFORM) \
    X(FFN2_B, "ffn2.b", d, 0, LCF_INIT_ZERO)

enum sasrec_param_idx {
#define SASREC_PARAM_IDX(id, name, rows, cols, init) SASREC_##id,
    SASREC_PARAMS(SASREC_PARAM_IDX)
#undef SASREC_PARAM_IDX
        SASREC_PARAMS_N
};

#define SASREC_POSITION_SCALE 0.1f /* standard deviation of the position table's start */

typedef struct sasrec_net {
    size_t dim, blocks_n, heads_n;
    float dropout;
    lcf_tensor *position;        /* [at least the longest sequence, d] */
    lcf_tensor *norm_w, *norm_b; /* the last one */
    /* Parameter i of SASREC_PARAMS of a block. */
    lcf_tensor *(*param)(const void *owner, size_t block, size_t i);
    const void *owner;
} sasrec_net;

/*
 * Hidden states [tokens, d] of the tokens of sequences [offsets[s], offsets[s + 1]), none of them
 * empty; items [tokens, d]. NULL when out of memory, which the tape then remembers; offsets must
 * outlive the step; rng: of dropout, used while the tape records; NULL: none. The last LayerNorm is
 * lcf_sasrec_norm's, for those tokens that somebody reads.
 */
lcf_tensor *lcf_sasrec_encode(lcf_tape *t, const sasrec_net *net, lcf_tensor *items,
                              const uint32_t *offsets, size_t sequences_n, lcf_rng *rng);
lcf_tensor *lcf_sasrec_norm(lcf_tape *t, const sasrec_net *net, lcf_tensor *x);

#endif
