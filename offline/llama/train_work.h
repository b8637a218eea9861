/*
 * What the parts of the training network share: room for one micro-batch, products and row loops on
 * the pool. Private to train_net.c, train_work.c and train_head.c.
 */
#ifndef LCF_OFFLINE_LLAMA_TRAIN_WORK_H
#define LCF_OFFLINE_LLAMA_TRAIN_WORK_H

#include "offline/llama/train_net.h"

#define NET_ROW_BLOCK 64 /* rows of a task; even, so that pairs of rows stay together */
#define HEAD_COLUMNS 256 /* of the vocabulary, computed together */
#define HEAD_ROWS 96     /* against them: a multiple of a product's tile */
#define AHEAD_ROWS 192   /* the last rows of a product: the next weights are asked for meanwhile */
#define HEAD_GROUPS 8    /* parts of the vocabulary whose gradients are summed apart */

/* A left operand (product.h). */
typedef struct net_left {
    void *data;
    size_t ld;
} net_left;

/* Inputs of matrices within a layer: of q, k, v; of the attention's output; of gate, up; of down.
 */
typedef enum net_input { IN_ATTN, IN_WO, IN_FFN, IN_DOWN, INPUTS_N } net_input;

#define NET_SLOTS 3 /* matrices that read one input */

/* What a layer keeps for its gradient; with checkpointing all layers share one. */
typedef struct net_kept {
    float *q, *k, *v, *att, *lse; /* q and k turned by RoPE */
    float *mid;                   /* the residual stream between attention and FFN */
    float *gate, *up;
    float *t[NET_PARAMS_N]; /* [rows, rank] LoRA's inputs times its scale; where there is a LoRA */
} net_kept;

/* A LoRA's small tensors of one matrix. */
typedef struct net_small {
    net_left t, dt;
    void *dt_turned;
    float *dt_rows;
} net_small;

typedef struct lcf_net_work {
    void *block; /* all that holds numbers */
    size_t rows_max, targets_max, threads;
    float **x; /* [layers + 1] [rows, D] inputs of the layers; the last one: of the last norm */
    net_kept *kept; /* [layers] */
    /* Reused by every layer; `wide` is the widest of D, Q and F. */
    net_left left, dropped; /* [rows, wide] an input */
    net_left dy[NET_SLOTS]; /* [rows, wide] gradients of results */
    void *dy_turned[NET_SLOTS];
    net_small small[NET_SLOTS];
    float *dh, *dh_dropped; /* [rows, wide] its gradient */
    float *dx;              /* [rows, D] of the residual stream */
    float
        *embed_rows; /* [rows, D] the table's gradient before this micro-batch, where it has rows */
    float *dq, *dk, *dv;
    float *x_rows, *att_rows; /* [targets, .] of the last layer: rows that count */
    float *dnorm;             /* [row blocks, D] */
    float *attention;         /* [threads, attention_n] */
    char *panels;             /* [threads, panels_bytes] */
    float *rows;              /* [threads, rows_n] */
    size_t attention_n, panels_bytes, rows_n;
    /* Rows [ranges[i + 1], ranges[i]) see each other alone: the attention's tasks. */
    uint32_t *ranges;
    size_t ranges_n;
    /* head */
    float *head_x;                  /* [targets, D] normalised, of binary cross-entropy */
    net_left head_left;             /* likewise, of softmax's */
    char *head_panels;              /* likewise, as right operand */
    char *logits;                   /* [chunks][targets][HEAD_COLUMNS], as lcf_softmax_keep */
    float *chunk_lse;               /* [chunks, targets] */
    float *target_logit, *head_lse; /* [targets] */
    double *row_nll;                /* [targets] */
    float *head_dx;                 /* [HEAD_GROUPS, targets, D] */
    char *head_tile;                /* [threads, head_tile_bytes] */
    size_t head_tile_bytes;
} lcf_net_work;

/* Room for a micro-batch of so many rows and targets; grows what is there. errors: ENOMEM */
lcf_status net_reserve(lcf_net *net, size_t rows, size_t targets, size_t threads, lcf_err *err);

/* C [m, n] (+)= sum over parts of A_i [m, k_i] B_i [k_i, n]. */
typedef struct net_part {
    net_left a; /* or */
    const void *turned;
    const float *b; /* or */
    net_left b_rows;
    size_t ldb, k;
    bool transposed; /* b is [n, k]: a layer's weights */
} net_part;

#define NET_PARTS_MAX (2 * NET_SLOTS)
typedef struct net_product {
    float *c;
    size_t ldc, m, n;
    bool add;
    net_part parts[NET_PARTS_MAX];
    size_t parts_n;
} net_product;

/* Independent products on all threads. */
void net_products(lcf_net *net, const net_product *list, size_t n);
/* Calls f for blocks of rows on all threads. */
typedef void (*net_rows)(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker);
void net_for_rows(lcf_net *net, size_t rows, net_rows f, const void *arg);
/* Rows [first, first + rows) of x [all, cols] as a left operand, and turned unless that is NULL. */
void net_operands(const lcf_net *net, net_left left, void *turned, size_t all, const float *x,
                  size_t first, size_t rows, size_t cols);
/* Row `first` of an operand. */
void *net_left_at(const lcf_net *net, net_left left, size_t row);
/* y = dropout(x), rows of an input from row `first` on; `part` names the input. */
void net_dropout(const lcf_net *net, float *y, const float *x, size_t first, size_t rows,
                 size_t cols, uint64_t part);
/* The gradient of a norm's weight from the partial sums in work->dnorm. */
void net_norm_weight(lcf_net *net, const lcf_net_weight *w, size_t rows);

/* Fills work->ranges. A row's segment is the first row of its sequence. */
void net_find_ranges(lcf_net *net);

/* The last norm, the output matrix and the loss, softmax or binary cross-entropy, over rows of x
 * [n, D]. dx NULL: no gradient; else it is written. */
double net_head(lcf_net *net, float *dx, const float *x);

#endif
