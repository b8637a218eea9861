/*
 * The parts of DIN as its two files know them: din.c, the definition on a tape, and din_infer.c,
 * the same for inference. Private to them.
 */
#ifndef LCF_COMMON_MODEL_DIN_H
#define LCF_COMMON_MODEL_DIN_H

#include "common/model/backbone.h"

typedef struct din {
    /* The first layer of the attention over [q, h, q - h, q * h], one matrix for each part. */
    size_t q, h, d, m, b;
    ranker_mlp att;  /* the layers after that one */
    ranker_mlp head; /* user, target, pooled history, extra vector -> logit */
} din;

lcf_tensor *lcf_din_logits(const ranker_pass *p, ranker_fields *f);

typedef struct din_plan {
    float *q, *m; /* Wq + Wd and Wm, packed field by field */
    float *h;     /* Wh - Wd, packed whole */
    float *att;   /* the second layer of the attention */
    float *head_user, *head_item, *head_pooled, *head_rest, *head_hidden;
    float *head_bias[2]; /* of the hidden layers */
    size_t rest_dim;     /* of all fields of the head behind the pooled history */
} din_plan;

void lcf_din_pack(void *plan, ranker_packer *packer);
/* What an item as the target adds to the first layer of the head [head_hidden[0]]. */
size_t lcf_din_item_parts_n(const lcf_ranker *r);
void lcf_din_item_parts(float *out, size_t ld, const ranker_pass *p, ranker_fields *f);

/*
 * The logits of lcf_din_logits for rows that share histories.
 *
 * shapes   [rows_n, 1]
 * order    within 1e-5 of the definition's
 * errors   sticky on the tape
 */
lcf_tensor *lcf_din_infer(const ranker_pass *p, ranker_fields *f);

#endif
