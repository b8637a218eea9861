/*
 * MF: the inner product of a user's and an item's factors, and a bias of each. The extra vector
 * has a weight per element.
 *
 * The factors are the rows of the tables that side modules read, too.
 *
 * source   Koren et al. 2009
 */
#include "common/model/backbone.h"

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    return lcf_ranker_add_linear(r->backbone_state, r, true, extra_dim, err);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const ranker_batch *b = p->batch;
    lcf_tape *t = p->tape;
    lcf_tensor *user = lcf_op_gather(t, lcf_ranker_param(p, p->r->user_table), b->user, b->rows_n);
    lcf_tensor *items =
        lcf_op_gather(t, lcf_ranker_param(p, p->r->item_table), b->item_id, b->items_n);
    lcf_tensor *item = lcf_op_gather(t, items, b->item, b->rows_n);

    return lcf_op_add(t, lcf_op_row_dot(t, user, item),
                      lcf_ranker_linear_forward(p, p->r->backbone_state, f));
}

const ranker_backbone LCF_BACKBONE_MF = {
    .kind = {"mf", "matrix factorization with biases"},
    .state_bytes = sizeof(ranker_linear),
    .tables = RANKER_TABLES_IDS,
    .declare = declare,
    .logits = logits,
};
