/* Codes of users and items: see binary.h. */
#include "common/model/binary.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/model/codes.h"

#include <stdlib.h>

/*
 * Where codes begin. Rows as small as other backbones' begin (.01), mapped, are far below any bias
 * that is not zero: every code would begin as the bias's signs, and a row that is seldom seen would
 * keep that one.
 */
#define START_SCALE 0.1f

static lcf_status add_map(size_t *w, size_t *b, lcf_ranker *r, const char *w_name,
                          const char *b_name, lcf_err *err)
{
    const size_t dim = r->config.dim;
    lcf_status status = lcf_ranker_add_matrix(w, r, w_name, dim, dim, dim, err);

    return status ? status : lcf_ranker_add(b, r, b_name, dim, 0, LCF_INIT_ZERO, 0.0f, err);
}

lcf_status lcf_ranker_add_binary(ranker_binary *b, lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    lcf_status status = add_map(&b->user_w, &b->user_b, r, "code.user.w", "code.user.b", err);

    if (!status)
        status = add_map(&b->item_w, &b->item_b, r, "code.item.w", "code.item.b", err);
    r->fill[r->user_table].scale = r->fill[r->item_table].scale = START_SCALE;
    b->has_extra = extra_dim > 0;
    if (!status && b->has_extra)
        status = lcf_ranker_add_matrix(&b->extra, r, "code.extra.w", 1, extra_dim, extra_dim, err);
    return status;
}

static lcf_tensor *codes(const ranker_pass *p, lcf_tensor *x, size_t w, size_t b)
{
    lcf_tape *t = p->tape;

    return lcf_op_sign(
        t, lcf_op_tanh(t, lcf_op_linear(t, x, lcf_ranker_param(p, w), lcf_ranker_param(p, b))),
        p->r->code_hard, p->rng);
}

lcf_tensor *lcf_ranker_binary_logits(const ranker_pass *p, const ranker_binary *b,
                                     lcf_tensor *users, lcf_tensor *items, const ranker_fields *f)
{
    lcf_tape *t = p->tape;
    lcf_tensor *user = codes(p, users, b->user_w, b->user_b);
    lcf_tensor *item = codes(p, items, b->item_w, b->item_b);
    lcf_tensor *sum =
        lcf_op_row_dot(t, user, lcf_op_gather(t, item, p->batch->item, p->batch->rows_n));

    if (p->r->config.code_scale != 1.0f)
        sum = lcf_op_scale(t, sum, p->r->config.code_scale);
    return b->has_extra
               ? lcf_op_add(t, sum, lcf_op_linear(t, f->extra, lcf_ranker_param(p, b->extra), NULL))
               : sum;
}

lcf_status lcf_ranker_binary_codes(uint8_t *out, const lcf_ranker *r, const float *vectors,
                                   size_t n, size_t w, size_t b, lcf_err *err)
{
    const size_t dim = r->config.dim;
    const float *weight = lcf_params_value(&r->params, w), *bias = lcf_params_value(&r->params, b);
    float *z = lcf_alloc(n * dim, sizeof(*z));

    if (!z)
        return LCF_FAIL(err, LCF_ENOMEM, "codes of %zu rows", n);
    lcf_gemm(z, vectors, weight, false, true, n, dim, dim, 1, 0, dim, dim, dim);
    for (size_t i = 0; i < n * dim; i++)
        if (z[i] + bias[i % dim] >= 0.0f)
            out[i / 8] |= (uint8_t)(0x80u >> i % 8);
    free(z);
    return LCF_OK;
}

void lcf_ranker_harden(lcf_ranker *r, float share)
{
    LCF_ASSERT(share >= 0.0f && share <= 1.0f);
    r->code_hard = share;
}

lcf_status lcf_ranker_codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;

    if (!r->backbone->codes)
        return LCF_FAIL(err, LCF_EINVAL,
                        "a ranker of the backbone %s has no codes; binmf and binlightgcn have",
                        c->backbone);
    if (c->dim % 8)
        return LCF_FAIL(err, LCF_EINVAL, "codes of %u bits, which is no multiple of 8", c->dim);
    return r->backbone->codes(users, items, r, err);
}
