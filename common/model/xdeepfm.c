/*
 * xDeepFM: linear part + compressed interaction network (CIN) + MLP over all fields. The extra
 * vector enters all three; in the CIN it is a further field (or several).
 *
 * Of the maps of a CIN layer the first half goes on to the next one and the second half to the
 * logit; those of the last layer all go to the logit. Maps stand first: [maps, rows * dim], so that
 * a half is a run of rows and a layer one matrix product.
 *
 * source   Lian et al. 2018; llm-cf.md section 6
 */
#include "common/model/backbone.h"

#include <stdio.h>

#define CIN_LAYERS 3

typedef struct xdeepfm {
    ranker_linear linear;
    ranker_mlp head;
    size_t w[CIN_LAYERS], out[CIN_LAYERS]; /* products -> maps; maps -> logit */
} xdeepfm;

/* Maps of a layer that go to the logit. */
static size_t direct_maps(const lcf_ranker_config *c, size_t layer)
{
    return layer + 1 < CIN_LAYERS ? c->cin_hidden[layer] / 2 : c->cin_hidden[layer];
}

static lcf_status declare_cin(lcf_ranker *r, size_t fields, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    xdeepfm *s = r->backbone_state;
    size_t maps = fields, direct = 0;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < CIN_LAYERS; i++)
        direct += direct_maps(c, i);
    for (size_t i = 0; i < CIN_LAYERS && !status; i++) {
        char name[LCF_PARAM_NAME_MAX];

        if (i + 1 < CIN_LAYERS && c->cin_hidden[i] % 2)
            return LCF_FAIL(err, LCF_EINVAL, "xdeepfm: cin_hidden_%zu %u is odd", i,
                            c->cin_hidden[i]);
        snprintf(name, sizeof(name), "cin.%zu.w", i); /* its last column is the bias */
        status = lcf_ranker_add_matrix(&s->w[i], r, name, c->cin_hidden[i], maps * fields + 1,
                                       maps * fields, err);
        snprintf(name, sizeof(name), "cin.%zu.out.w", i);
        if (!status)
            status = lcf_ranker_add_matrix(&s->out[i], r, name, 1, direct_maps(c, i), direct, err);
        maps = c->cin_hidden[i] / 2;
    }
    return status;
}

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t wide = lcf_ranker_all_fields_dim(r, extra_dim);
    xdeepfm *s = r->backbone_state;
    lcf_status status = lcf_ranker_add_linear(&s->linear, r, false, extra_dim, err);

    if (!status)
        status = lcf_ranker_add_head(&s->head, r, wide, err);
    if (!status)
        status = declare_cin(r, wide / r->config.dim, err);
    return status;
}

/* Fields first: x [rows, fields * dim] -> [fields, rows * dim]. */
static lcf_tensor *fields_first(const ranker_pass *p, lcf_tensor *x)
{
    const size_t dim = p->r->config.dim, rows = p->batch->rows_n, fields = x->dims[1] / dim;
    const size_t apart[2] = {rows * fields, dim}, together[2] = {fields, rows * dim};
    uint32_t *ids = lcf_tape_alloc(p->tape, rows * fields, sizeof(*ids));

    for (size_t i = 0; ids && i < rows * fields; i++)
        ids[i] = (uint32_t)(i % rows * fields + i / rows);
    x = lcf_op_gather(p->tape, lcf_op_reshape(p->tape, x, apart, 2), ids, rows * fields);
    return lcf_op_reshape(p->tape, x, together, 2);
}

/* Sums over `dim`: x [1, rows * dim] -> [rows, 1]. */
static lcf_tensor *sum_dims(const ranker_pass *p, lcf_tensor *x)
{
    const size_t dim = p->r->config.dim, dims[2] = {p->batch->rows_n, dim}, one[2] = {1, dim};
    float *ones = lcf_tape_alloc(p->tape, dim, sizeof(*ones));

    for (size_t i = 0; ones && i < dim; i++)
        ones[i] = 1.0f;
    return lcf_op_linear(p->tape, lcf_op_reshape(p->tape, x, dims, 2),
                         lcf_tape_input(p->tape, ones, one, 2), NULL);
}

static lcf_tensor *cin(const ranker_pass *p, lcf_tensor *fields)
{
    const lcf_ranker_config *c = &p->r->config;
    const xdeepfm *s = p->r->backbone_state;
    lcf_tensor *x0 = fields_first(p, fields), *x = x0, *sum = NULL;

    for (size_t i = 0; i < CIN_LAYERS; i++) {
        const size_t direct = direct_maps(c, i);
        lcf_tensor *part;

        x = lcf_op_relu(p->tape, lcf_op_cin(p->tape, x, x0, lcf_ranker_param(p, s->w[i])));
        part = lcf_op_slice(p->tape, x, c->cin_hidden[i] - direct, direct);
        part = lcf_op_matmul(p->tape, lcf_ranker_param(p, s->out[i]), part);
        sum = sum ? lcf_op_add(p->tape, sum, part) : part;
    }
    return sum_dims(p, sum);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const xdeepfm *s = p->r->backbone_state;
    lcf_tensor *fields = lcf_ranker_all_fields(p, f);
    lcf_tensor *sum = lcf_ranker_head_forward(p, &s->head, fields);

    sum = lcf_op_add(p->tape, sum, cin(p, fields));
    return lcf_op_add(p->tape, sum, lcf_ranker_linear_forward(p, &s->linear, f));
}

const ranker_backbone LCF_BACKBONE_XDEEPFM = {
    .kind = {"xdeepfm", "xDeepFM"},
    .state_bytes = sizeof(xdeepfm),
    .declare = declare,
    .logits = logits,
};
