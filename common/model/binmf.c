/*
 * BinMF: a user and an item as codes of dim bits each, and the inner product of the two codes.
 *
 * source   Zhang et al. 2024 (BinLLM, arXiv 2406.03210), equation 2; companions.md section 2.1
 */
#include "common/model/binary.h"

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    return lcf_ranker_add_binary(r->backbone_state, r, extra_dim, err);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const ranker_batch *b = p->batch;
    const lcf_ranker *r = p->r;
    lcf_tape *t = p->tape;

    return lcf_ranker_binary_logits(
        p, r->backbone_state,
        lcf_op_gather(t, lcf_ranker_param(p, r->user_table), b->user, b->rows_n),
        lcf_op_gather(t, lcf_ranker_param(p, r->item_table), b->item_id, b->items_n), f);
}

static lcf_status codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err)
{
    const ranker_binary *s = r->backbone_state;
    lcf_status status =
        lcf_ranker_binary_codes(users, r, lcf_params_value(&r->params, r->user_table),
                                r->config.users_n, s->user_w, s->user_b, err);

    return status ? status
                  : lcf_ranker_binary_codes(items, r, lcf_params_value(&r->params, r->item_table),
                                            r->config.items_n, s->item_w, s->item_b, err);
}

const ranker_backbone LCF_BACKBONE_BINMF = {
    .kind = {"binmf", "matrix factorization by binary codes"},
    .state_bytes = sizeof(ranker_binary),
    .tables = RANKER_TABLES_IDS,
    .declare = declare,
    .logits = logits,
    .codes = codes,
};
