/*
 * DCNv2, parallel and mixed: cross layers of a mixture of low-rank experts beside an MLP, both over
 * all fields; the extra vector is among them.
 *
 * A layer is x' = x + sum_e g_e(x) x0 * (U_e tanh(C_e tanh(V_e x)) + b). The gates g are a softmax
 * and sum to 1, so that this is x + x0 * (U [g_1 h_1, g_2 h_2, ...] + b): the experts' matrices
 * stand side by side, and only their small C is a product for each. All layers share the gates'
 * weights, as in the published code.
 *
 * source   Wang et al. 2021, equation 3; llm-cf.md section 6. No BatchNorm in the MLP.
 */
#include "common/model/backbone.h"

#include <stdio.h>

typedef struct mix_layer {
    size_t v, c, u, b;
} mix_layer;

typedef struct dcnv2 {
    ranker_mlp head;
    size_t gate_w, gate_b;
    mix_layer layers[LCF_RANKER_LAYERS_MAX];
    size_t out; /* the last cross layer -> logit */
} dcnv2;

static lcf_status declare_layer(lcf_ranker *r, size_t layer, size_t wide, lcf_err *err)
{
    const size_t rank = r->config.rank, all = r->config.experts_n * rank;
    mix_layer *l = &((dcnv2 *)r->backbone_state)->layers[layer];
    char name[LCF_PARAM_NAME_MAX];
    lcf_status status;

    snprintf(name, sizeof(name), "mix.%zu.v.w", layer);
    status = lcf_ranker_add_matrix(&l->v, r, name, all, wide, wide, err);
    snprintf(name, sizeof(name), "mix.%zu.c.w", layer);
    if (!status)
        status = lcf_ranker_add_matrix(&l->c, r, name, all, rank, rank, err);
    snprintf(name, sizeof(name), "mix.%zu.u.w", layer);
    if (!status)
        status = lcf_ranker_add_matrix(&l->u, r, name, wide, all, rank, err);
    snprintf(name, sizeof(name), "mix.%zu.b", layer);
    if (!status)
        status = lcf_ranker_add(&l->b, r, name, wide, 0, LCF_INIT_ZERO, 0.0f, err);
    return status;
}

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const size_t wide = lcf_ranker_all_fields_dim(r, extra_dim);
    dcnv2 *s = r->backbone_state;
    lcf_status status = lcf_ranker_add_head(&s->head, r, wide, err);

    if (!status)
        status = lcf_ranker_add_matrix(&s->gate_w, r, "mix.gate.w", c->experts_n, wide, wide, err);
    if (!status)
        status = lcf_ranker_add_bias(&s->gate_b, r, "mix.gate.b", c->experts_n, wide, err);
    for (size_t i = 0; i < c->mix_layers_n && !status; i++)
        status = declare_layer(r, i, wide, err);
    if (!status)
        status = lcf_ranker_add_matrix(&s->out, r, "mix.out.w", 1, wide, wide, err);
    return status;
}

static lcf_tensor *cross(const ranker_pass *p, const mix_layer *l, lcf_tensor *x0, lcf_tensor *x)
{
    const dcnv2 *s = p->r->backbone_state;
    const size_t experts = p->r->config.experts_n;
    lcf_tape *t = p->tape;
    lcf_tensor *gates = lcf_op_softmax(
        t, lcf_op_linear(t, x, lcf_ranker_param(p, s->gate_w), lcf_ranker_param(p, s->gate_b)));
    lcf_tensor *h = lcf_op_tanh(t, lcf_op_linear(t, x, lcf_ranker_param(p, l->v), NULL));

    h = lcf_op_tanh(t, lcf_op_linear_groups(t, h, lcf_ranker_param(p, l->c), experts));
    h = lcf_op_scale_rows(t, h, gates);
    h = lcf_op_linear(t, h, lcf_ranker_param(p, l->u), lcf_ranker_param(p, l->b));
    return lcf_op_add(t, lcf_op_mul(t, x0, h), x);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const dcnv2 *s = p->r->backbone_state;
    lcf_tensor *x0 = lcf_ranker_all_fields(p, f), *x = x0;

    for (size_t i = 0; i < p->r->config.mix_layers_n; i++)
        x = cross(p, &s->layers[i], x0, x);
    return lcf_op_add(p->tape, lcf_ranker_head_forward(p, &s->head, x0),
                      lcf_op_linear(p->tape, x, lcf_ranker_param(p, s->out), NULL));
}

const ranker_backbone LCF_BACKBONE_DCNV2 = {
    .kind = {"dcnv2", "DCNv2: cross layers of low-rank experts"},
    .state_bytes = sizeof(dcnv2),
    .declare = declare,
    .logits = logits,
};
