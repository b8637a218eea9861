/*
 * The parts of the ICT module as its two files know them: ict.c, the definition on a tape, and
 * ict_infer.c, the same for inference. Private to them.
 */
#ifndef LCF_COMMON_MODEL_ICT_H
#define LCF_COMMON_MODEL_ICT_H

#include "common/model/backbone.h"

typedef struct ict_layer {
    size_t norm1, q, k, v, o, norm2, gate, up, down;
} ict_layer;

typedef struct ict {
    bool cot, decoder; /* false: the ablations */
    ranker_mlp text;   /* text or CoT vector -> token */
    ranker_mlp x;      /* nine fields -> token */
    ranker_mlp rec;    /* hidden state -> CoT vector */
    size_t label_table;
    ict_layer layers[LCF_RANKER_LAYERS_MAX];
    size_t norm;
} ict;

/* The map from text to token, of any vectors [n, text_dim] -> [n, dim]. */
lcf_tensor *lcf_ict_text_tokens(const ranker_pass *p, const float *vectors, size_t n);

typedef struct ict_plan_layer {
    const float *norm1, *norm2;
    const float *qkv; /* [3 dim, dim] q, k and v, one below the other */
    const float *o, *gate, *up, *down;
} ict_plan_layer;

typedef struct ict_plan {
    const float *x_user, *x_item, *x_history; /* the first layer of x by its inputs, packed */
    const float *x_out;
    ict_plan_layer layers[LCF_RANKER_LAYERS_MAX];
    const float *last_ov; /* [dim, heads_n dim] o after v, for each head the whole of both */
} ict_plan;

void lcf_ict_pack(void *plan, ranker_packer *packer);
/* What an item adds to the first layer of its decision's token [x_hidden]. */
size_t lcf_ict_item_parts_n(const lcf_ranker *r);
void lcf_ict_item_parts(float *out, size_t ld, const ranker_pass *p, ranker_fields *f);
/* An example that stands first in its sequence sees nobody else: its tokens as they enter each
 * layer but the first [layers_n - 1, 3, dim]. */
size_t lcf_ict_example_states_n(const lcf_ranker *r);
void lcf_ict_example_states(float *out, const ranker_pass *p, const float *tokens, size_t n);

/*
 * The hidden states that `forward` of ict.c gives for a frozen batch.
 *
 * shapes   [rows_n, dim]
 * order    a row's state has the same bits in every batch; within 1e-5 of the definition's
 * errors   sticky on the tape
 */
lcf_tensor *lcf_ict_infer(const ranker_pass *p, ranker_fields *f);

#endif
