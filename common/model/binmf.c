/*
 * BinMF: a user and an item as codes of dim bits each, and the inner product of the two codes. The
 * extra vector has a weight per element.
 *
 * A code is the sign of tanh(W e + b), e the row of the table; in the gradient the sign counts as
 * identity, a straight-through estimator. Training and inference see the same hard codes.
 *
 * source   Zhang et al. 2024 (BinLLM, arXiv 2406.03210), equation 2; companions.md section 2.1
 */
#include "common/model/binmf.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/model/backbone.h"

#include <stdlib.h>

typedef struct binmf {
    size_t user_w, user_b, item_w, item_b, extra;
    bool has_extra;
} binmf;

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t dim = r->config.dim;
    binmf *s = r->backbone_state;
    lcf_status status = lcf_ranker_add_matrix(&s->user_w, r, "code.user.w", dim, dim, dim, err);

    if (!status)
        status = lcf_ranker_add_bias(&s->user_b, r, "code.user.b", dim, dim, err);
    if (!status)
        status = lcf_ranker_add_matrix(&s->item_w, r, "code.item.w", dim, dim, dim, err);
    if (!status)
        status = lcf_ranker_add_bias(&s->item_b, r, "code.item.b", dim, dim, err);
    s->has_extra = extra_dim > 0;
    if (!status && s->has_extra)
        status = lcf_ranker_add_matrix(&s->extra, r, "code.extra.w", 1, extra_dim, extra_dim, err);
    return status;
}

/* Codes [n, dim], each element 1 or -1, of rows of a table. */
static lcf_tensor *codes(const ranker_pass *p, size_t table, const uint32_t *ids, size_t n,
                         size_t w, size_t b)
{
    lcf_tape *t = p->tape;
    lcf_tensor *x = lcf_op_gather(t, lcf_ranker_param(p, table), ids, n);

    return lcf_op_sign(
        t, lcf_op_tanh(t, lcf_op_linear(t, x, lcf_ranker_param(p, w), lcf_ranker_param(p, b))));
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const binmf *s = p->r->backbone_state;
    const ranker_batch *b = p->batch;
    lcf_tape *t = p->tape;
    lcf_tensor *user = codes(p, p->r->user_table, b->user, b->rows_n, s->user_w, s->user_b);
    lcf_tensor *items = codes(p, p->r->item_table, b->item_id, b->items_n, s->item_w, s->item_b);
    lcf_tensor *sum = lcf_op_row_dot(t, user, lcf_op_gather(t, items, b->item, b->rows_n));

    return s->has_extra
               ? lcf_op_add(t, sum, lcf_op_linear(t, f->extra, lcf_ranker_param(p, s->extra), NULL))
               : sum;
}

const ranker_backbone LCF_BACKBONE_BINMF = {
    .kind = {"binmf", "matrix factorization by binary codes"},
    .state_bytes = sizeof(binmf),
    .tables = RANKER_TABLES_IDS,
    .declare = declare,
    .logits = logits,
};

/* ---- the codes themselves ---- */

/* Bits of the rows of one table. */
static lcf_status write_codes(uint8_t *out, const lcf_ranker *r, size_t table, size_t n, size_t w,
                              size_t b, lcf_err *err)
{
    const size_t dim = r->config.dim;
    const float *rows = lcf_params_value(&r->params, table);
    const float *weight = lcf_params_value(&r->params, w), *bias = lcf_params_value(&r->params, b);
    float *z = lcf_alloc(n * dim, sizeof(*z));

    if (!z)
        return LCF_FAIL(err, LCF_ENOMEM, "codes of %zu rows", n);
    lcf_gemm(z, rows, weight, false, true, n, dim, dim, 1, 0, dim, dim, dim);
    for (size_t i = 0; i < n * dim; i++)
        if (z[i] + bias[i % dim] >= 0.0f)
            out[i / 8] |= (uint8_t)(0x80u >> i % 8);
    free(z);
    return LCF_OK;
}

lcf_status lcf_binmf_codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const binmf *s = r->backbone_state;
    lcf_status status;

    if (r->backbone != &LCF_BACKBONE_BINMF)
        return LCF_FAIL(err, LCF_EINVAL, "a ranker of the backbone %s has no codes; binmf has",
                        c->backbone);
    if (c->dim % 8)
        return LCF_FAIL(err, LCF_EINVAL, "codes of %u bits, which is no multiple of 8", c->dim);
    status = write_codes(users, r, r->user_table, c->users_n, s->user_w, s->user_b, err);
    return status ? status
                  : write_codes(items, r, r->item_table, c->items_n, s->item_w, s->item_b, err);
}
