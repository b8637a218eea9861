/*
 * DIN: the history weighted by an attention MLP over [q, h, q - h, q * h]; an MLP over user,
 * target, the weighted history and the extra vector.
 *
 * The first layer of that MLP is split by its inputs: W [q, h, q - h, q * h] =
 * (Wq + Wd) q + (Wh - Wd) h + Wm (q * h), so that what depends on the target alone or on the
 * history alone is computed once per row and once per history entry, and the four times as
 * wide input is never built.
 *
 * source   Zhou et al. 2018 (DIN); llm-cf.md section 6: scores are not normalised, and an absent
 *          history item weighs 0
 */
#include "common/model/din.h"

#include <string.h>

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const size_t item = r->item_dim, hidden = c->att_hidden[0];
    const size_t att[] = {hidden, c->att_hidden[1], 1};
    din *s = r->backbone_state;
    const struct {
        const char *name;
        size_t *idx;
    } parts[] = {{"att.q.w", &s->q}, {"att.h.w", &s->h}, {"att.d.w", &s->d}, {"att.m.w", &s->m}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < 4 && !status; i++)
        status = lcf_ranker_add_matrix(parts[i].idx, r, parts[i].name, hidden, item, 4 * item, err);
    if (!status)
        status = lcf_ranker_add_bias(&s->b, r, "att.0.b", hidden, 4 * item, err);
    if (!status)
        status = lcf_ranker_add_mlp(&s->att, r, "att", 1, att, 2, err);
    if (!status)
        status = lcf_ranker_add_head(&s->head, r, lcf_ranker_all_fields_dim(r, extra_dim), err);
    return status;
}

/* Every row has a history of its own, so that entries and pairs are the same list. */
static bool entries_are_pairs(const ranker_batch *b)
{
    return b->row_histories_n == b->rows_n;
}

/* Rows of history entries as rows of pairs. */
static lcf_tensor *by_pair(const ranker_pass *p, lcf_tensor *entries)
{
    if (entries_are_pairs(p->batch))
        return entries;
    return lcf_op_gather(p->tape, entries, p->batch->pair_entry, p->batch->pairs_n);
}

/* Attention weights of all pairs: q [rows, item_dim], h [pairs, item_dim], entries [entries,
 * item_dim] -> [pairs, 1]. */
static lcf_tensor *pair_weights(const ranker_pass *p, lcf_tensor *q, lcf_tensor *h,
                                lcf_tensor *entries)
{
    const ranker_batch *b = p->batch;
    const din *s = p->r->backbone_state;
    lcf_tape *t = p->tape;
    lcf_tensor *d = lcf_ranker_param(p, s->d);
    lcf_tensor *from_q =
        lcf_op_linear(t, q, lcf_op_add(t, lcf_ranker_param(p, s->q), d), lcf_ranker_param(p, s->b));
    lcf_tensor *from_h =
        lcf_op_linear(t, entries, lcf_op_sub(t, lcf_ranker_param(p, s->h), d), NULL);
    lcf_tensor *product = lcf_op_mul(t, lcf_op_gather(t, q, b->pair_row, b->pairs_n), h);
    lcf_tensor *sum = lcf_op_linear(t, product, lcf_ranker_param(p, s->m), NULL);

    sum = lcf_op_add(t, sum, by_pair(p, from_h));
    sum = lcf_op_add(t, sum, lcf_op_gather(t, from_q, b->pair_row, b->pairs_n));
    return lcf_ranker_mlp_forward(p, &s->att, lcf_op_relu(t, sum));
}

/* The sum over the history: items [items_n, item_dim], q [rows_n, item_dim] -> q's shape. */
static lcf_tensor *pool(const ranker_pass *p, lcf_tensor *items, lcf_tensor *q)
{
    const ranker_batch *b = p->batch;
    const size_t dims[2] = {b->rows_n, p->r->item_dim};
    lcf_tensor *entries, *h;

    if (!b->pairs_n) { /* nobody here has a history */
        float *zeros = lcf_tape_alloc(p->tape, dims[0] * dims[1], sizeof(float));

        if (zeros)
            memset(zeros, 0, dims[0] * dims[1] * sizeof(float));
        return lcf_tape_input(p->tape, zeros, dims, 2);
    }
    entries =
        lcf_op_gather(p->tape, items, b->history_items, b->history_offsets[b->row_histories_n]);
    h = by_pair(p, entries);
    return lcf_op_segment_sum(p->tape, h, pair_weights(p, q, h, entries), b->pair_offsets,
                              b->rows_n);
}

lcf_tensor *lcf_din_logits(const ranker_pass *p, ranker_fields *f)
{
    const din *s = p->r->backbone_state;
    lcf_tensor *history = pool(p, f->items, f->target);

    return lcf_ranker_head_forward(p, &s->head, lcf_ranker_fields_with(p, f, history));
}

const ranker_backbone LCF_BACKBONE_DIN = {
    .kind = {"din", "DIN: attention of the target over the history"},
    .state_bytes = sizeof(din),
    .declare = declare,
    .logits = lcf_din_logits,
    .fast = {.state_bytes = sizeof(din_plan),
             .pack = lcf_din_pack,
             .infer = lcf_din_infer,
             .item_parts_n = lcf_din_item_parts_n,
             .item_parts = lcf_din_item_parts},
};
