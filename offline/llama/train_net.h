/*
 * The network of llama.c with its gradient, for one micro-batch: sequences laid end to end, so that
 * no padding is ever computed. Private to offline/llama; llama_train.h is the face.
 *
 * Every operation runs on all threads of a pool and each element of a result is one sum in a fixed
 * order: the same bits at any number of threads. Gradients are sums over the micro-batch's targets
 * of the loss (-log p), not divided.
 *
 * Life cycle: init -> bind weights (the caller's memory) -> {forward, backward} ... -> dispose.
 */
#ifndef LCF_OFFLINE_LLAMA_TRAIN_NET_H
#define LCF_OFFLINE_LLAMA_TRAIN_NET_H

#include "common/base/pool.h"
#include "common/math/product.h"
#include "offline/llama/llama.h"

typedef enum lcf_net_param {
    NET_ATTN_NORM,
    NET_WQ,
    NET_WK,
    NET_WV,
    NET_WO,
    NET_FFN_NORM,
    NET_W_GATE,
    NET_W_UP,
    NET_W_DOWN,
    NET_PARAMS_N
} lcf_net_param;

/* A weight and where its gradient goes; grad NULL: frozen, none is computed. */
typedef struct lcf_net_weight {
    const float *value;
    float *grad;
} lcf_net_weight;

/* y += scale * dropout(x) a^T b^T beside a matrix; a.value NULL: none. */
typedef struct lcf_net_lora {
    lcf_net_weight a, b; /* [rank, in], [out, rank] */
} lcf_net_lora;

typedef struct lcf_net_layer {
    lcf_net_weight w[NET_PARAMS_N];
    lcf_net_lora lora[NET_PARAMS_N];
} lcf_net_layer;

/* Rows of a micro-batch; all arrays are the caller's. */
typedef struct lcf_net_batch {
    size_t rows, targets_n;
    const uint32_t *ids, *positions; /* [rows] */
    const uint32_t *segments;        /* [rows] the first row of a row's segment */
    const uint32_t *target_rows;     /* [targets_n] rows whose next token counts, ascending */
    const int32_t *targets;          /* [targets_n] */
    uint64_t key;                    /* of dropout: no other micro-batch's */
} lcf_net_batch;

/* Called in the backward pass when the gradients of a part are complete: layer, or layers_n for the
 * final norm and the output matrix, or layers_n + 1 for the embedding (after all else). */
typedef lcf_status (*lcf_net_done)(void *arg, size_t part, lcf_err *err);

typedef struct lcf_net {
    const lcf_llama_config *config;
    lcf_precision precision;
    bool checkpointing; /* keep the layers' inputs alone, compute the rest again */
    size_t rank;        /* of LoRA; 0: none */
    float lora_scale, dropout;
    bool binary;     /* the loss: binary cross-entropy of the logit of `positive`, not softmax's */
    size_t positive; /* the piece whose logit it is; a target is this piece (1) or another (0) */
    lcf_net_weight embed, final_norm, output; /* output's are embed's when tied */
    lcf_soft_tokens soft;                     /* ids from vocab_n on */
    float *soft_grads;                        /* [soft.n, dim], added to; NULL: none */
    lcf_net_layer *layers;
    lcf_net_done done; /* may be NULL */
    void *done_arg;

    lcf_pool *pool;             /* of the call in progress */
    const lcf_net_batch *batch; /* likewise */
    bool fresh;                 /* gradients are written, not added to */
    struct lcf_net_work *work;  /* room for a micro-batch */
    float *rope;                /* [rope_n, head_dim] angles of positions */
    size_t rope_n;
} lcf_net;

/* config and the fields above are set by the caller. errors: ENOMEM */
lcf_status lcf_net_init(lcf_net *net, const lcf_llama_config *config, lcf_err *err);
void lcf_net_dispose(lcf_net *net);
/* out and in of a matrix; in = 0 for a norm. */
void lcf_net_dims(size_t *out, size_t *in, const lcf_llama_config *c, lcf_net_param which);
/*
 * Sum of the loss over the batch's targets (at least one). train: and their gradients, added to
 * what is there, or written over it when fresh. errors: ENOMEM, those of `done`
 */
lcf_status lcf_net_run(double *nll, lcf_net *net, const lcf_net_batch *batch, bool train,
                       bool fresh, lcf_pool *pool, lcf_err *err);

#endif
