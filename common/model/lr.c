/*
 * LR: logistic regression on ids. The extra vector has a weight per element.
 *
 * source   llm-cf.md section 6; Richardson et al. 2007
 */
#include "common/model/backbone.h"

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    return lcf_ranker_add_linear(r->backbone_state, r, false, extra_dim, err);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    return lcf_ranker_linear_forward(p, p->r->backbone_state, f);
}

const ranker_backbone LCF_BACKBONE_LR = {
    .kind = {"lr", "logistic regression"},
    .state_bytes = sizeof(ranker_linear),
    .tables = RANKER_TABLES_NONE,
    .declare = declare,
    .logits = logits,
};
