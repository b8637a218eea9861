/*
 * FM: the linear part, and inner products of all pairs of fields. The extra vector has weights in
 * the linear part and is a further field (or several).
 *
 * source   Rendle 2010
 */
#include "common/model/backbone.h"

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    return lcf_ranker_add_linear(r->backbone_state, r, false, extra_dim, err);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    lcf_tensor *pairs = lcf_op_fm(p->tape, lcf_ranker_all_fields(p, f), p->r->config.dim);

    return lcf_op_add(p->tape, pairs, lcf_ranker_linear_forward(p, p->r->backbone_state, f));
}

const ranker_backbone LCF_BACKBONE_FM = {
    .kind = {"fm", "factorization machine"},
    .state_bytes = sizeof(ranker_linear),
    .declare = declare,
    .logits = logits,
};
