/*
 * DCN: cross layers x' = x0 (w x) + b + x beside an MLP, both over all fields; the extra vector is
 * among them.
 *
 * source   Wang et al. 2017; llm-cf.md section 6. No BatchNorm in the MLP.
 */
#include "common/model/backbone.h"

#include <stdio.h>

typedef struct dcn {
    ranker_mlp head;
    size_t w[LCF_RANKER_LAYERS_MAX], b[LCF_RANKER_LAYERS_MAX];
    size_t out; /* the last cross layer -> logit */
} dcn;

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t wide = lcf_ranker_all_fields_dim(r, extra_dim);
    dcn *s = r->backbone_state;
    lcf_status status = lcf_ranker_add_head(&s->head, r, wide, err);

    for (size_t i = 0; i < r->config.cross_layers_n && !status; i++) {
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "cross.%zu.w", i);
        status = lcf_ranker_add_matrix(&s->w[i], r, name, 1, wide, wide, err);
        snprintf(name, sizeof(name), "cross.%zu.b", i);
        if (!status)
            status = lcf_ranker_add(&s->b[i], r, name, wide, 0, LCF_INIT_ZERO, 0.0f, err);
    }
    if (!status)
        status = lcf_ranker_add_matrix(&s->out, r, "cross.out.w", 1, wide, wide, err);
    return status;
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const dcn *s = p->r->backbone_state;
    lcf_tape *t = p->tape;
    lcf_tensor *x0 = lcf_ranker_all_fields(p, f), *x = x0;

    for (size_t i = 0; i < p->r->config.cross_layers_n; i++) {
        lcf_tensor *cross =
            lcf_op_scale_rows(t, x0, lcf_op_linear(t, x, lcf_ranker_param(p, s->w[i]), NULL));

        x = lcf_op_add(t, lcf_op_add_bias(t, cross, lcf_ranker_param(p, s->b[i])), x);
    }
    return lcf_op_add(t, lcf_ranker_head_forward(p, &s->head, x0),
                      lcf_op_linear(t, x, lcf_ranker_param(p, s->out), NULL));
}

const ranker_backbone LCF_BACKBONE_DCN = {
    .kind = {"dcn", "DCN: deep and cross network"},
    .state_bytes = sizeof(dcn),
    .declare = declare,
    .logits = logits,
};
