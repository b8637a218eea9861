/*
 * DIN: item fields, and the history weighted by an attention MLP over [q, h, q - h, q * h].
 *
 * The first layer of that MLP is split by its inputs: W [q, h, q - h, q * h] =
 * (Wq + Wd) q + (Wh - Wd) h + Wm (q * h), so that what depends on the target alone or on the
 * history alone is computed once per row and once per history entry, and the 4 * 3 * dim wide input
 * is never built.
 *
 * source   Zhou et al. 2018 (DIN); llm-cf.md section 6: scores are not normalised, and an absent
 *          history item weighs 0
 */
#include "common/model/ranker_internal.h"

#include <string.h>

lcf_tensor *lcf_ranker_items(const ranker_pass *p)
{
    const ranker_batch *b = p->batch;
    lcf_tensor *parts[3];

    parts[0] =
        lcf_op_gather(p->tape, lcf_ranker_param(p, p->r->item_table), b->item_id, b->items_n);
    parts[1] =
        lcf_op_gather(p->tape, lcf_ranker_param(p, p->r->brand_table), b->item_brand, b->items_n);
    parts[2] = lcf_op_gather_mean(p->tape, lcf_ranker_param(p, p->r->category_table), b->categories,
                                  b->category_offsets, b->items_n);
    return lcf_op_concat(p->tape, parts, 3);
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

/* Attention weights of all pairs: q [rows, 3 dim], h [pairs, 3 dim], entries [entries, 3 dim] ->
 * [pairs, 1]. */
static lcf_tensor *pair_weights(const ranker_pass *p, lcf_tensor *q, lcf_tensor *h,
                                lcf_tensor *entries)
{
    const ranker_batch *b = p->batch;
    lcf_tape *t = p->tape;
    lcf_tensor *d = lcf_ranker_param(p, p->r->att_d);
    lcf_tensor *from_q = lcf_op_linear(t, q, lcf_op_add(t, lcf_ranker_param(p, p->r->att_q), d),
                                       lcf_ranker_param(p, p->r->att_b));
    lcf_tensor *from_h =
        lcf_op_linear(t, entries, lcf_op_sub(t, lcf_ranker_param(p, p->r->att_h), d), NULL);
    lcf_tensor *product = lcf_op_mul(t, lcf_op_gather(t, q, b->pair_row, b->pairs_n), h);
    lcf_tensor *sum = lcf_op_linear(t, product, lcf_ranker_param(p, p->r->att_m), NULL);

    sum = lcf_op_add(t, sum, by_pair(p, from_h));
    sum = lcf_op_add(t, sum, lcf_op_gather(t, from_q, b->pair_row, b->pairs_n));
    return lcf_ranker_mlp_forward(p, &p->r->att, lcf_op_relu(t, sum));
}

lcf_tensor *lcf_ranker_pool(const ranker_pass *p, lcf_tensor *items, lcf_tensor *q)
{
    const ranker_batch *b = p->batch;
    const size_t dims[2] = {b->rows_n, 3 * (size_t)p->r->config.dim};
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
