/*
 * DeepFM: linear part + inner products of all pairs of fields + MLP over all fields. The extra
 * vector enters the linear part and the MLP, as in the published code.
 *
 * source   Guo et al. 2017; llm-cf.md section 6
 */
#include "common/model/backbone.h"

typedef struct deepfm {
    ranker_linear linear;
    ranker_mlp head;
} deepfm;

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    deepfm *s = r->backbone_state;
    lcf_status status = lcf_ranker_add_linear(&s->linear, r, false, extra_dim, err);

    if (!status)
        status = lcf_ranker_add_head(&s->head, r, lcf_ranker_all_fields_dim(r, extra_dim), err);
    return status;
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const deepfm *s = p->r->backbone_state;
    lcf_tensor *all = lcf_ranker_all_fields(p, f), *own = all, *sum;

    if (f->extra) {
        ranker_fields without = *f;

        without.extra = NULL;
        own = lcf_ranker_all_fields(p, &without);
    }
    sum = lcf_op_add(p->tape, lcf_ranker_head_forward(p, &s->head, all),
                     lcf_op_fm(p->tape, own, p->r->config.dim));
    return lcf_op_add(p->tape, sum, lcf_ranker_linear_forward(p, &s->linear, f));
}

const ranker_backbone LCF_BACKBONE_DEEPFM = {
    .kind = {"deepfm", "DeepFM"},
    .state_bytes = sizeof(deepfm),
    .declare = declare,
    .logits = logits,
};
