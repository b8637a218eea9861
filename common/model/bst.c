/*
 * BST: a transformer layer over history and target, the mean of its tokens, and an MLP over user,
 * target, that mean and the extra vector.
 *
 * The layer is that of torch.nn.TransformerEncoderLayer, norms after the residuals, leaky ReLU, no
 * positions, as in the published code: every token sees all of its row. A token's query, key and
 * value follow from its item alone and are computed once per item of the batch.
 *
 * source   Chen et al. 2019 (BST); llm-cf.md section 6. Dropout after the attention, within the
 *          feed-forward part and after it; none on the attention weights.
 */
#include "common/model/backbone.h"

#include <string.h>

#define NORM_EPS 1e-5f
#define SLOPE 0.01f

typedef struct bst {
    ranker_mlp head;
    size_t qkv_w, qkv_b, out_w, out_b, up_w, up_b, down_w, down_b;
    size_t norm1_w, norm1_b, norm2_w, norm2_b;
} bst;

static lcf_status declare_norms(lcf_ranker *r, size_t wide, lcf_err *err)
{
    bst *s = r->backbone_state;
    const struct {
        const char *name;
        size_t *idx;
        lcf_init init;
    } norms[] = {{"block.norm1.w", &s->norm1_w, LCF_INIT_ONE},
                 {"block.norm1.b", &s->norm1_b, LCF_INIT_ZERO},
                 {"block.norm2.w", &s->norm2_w, LCF_INIT_ONE},
                 {"block.norm2.b", &s->norm2_b, LCF_INIT_ZERO}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(norms) / sizeof(norms[0]) && !status; i++)
        status = lcf_ranker_add(norms[i].idx, r, norms[i].name, wide, 0, norms[i].init, 0.0f, err);
    return status;
}

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t wide = r->item_dim, hidden = r->config.bst_hidden;
    bst *s = r->backbone_state;
    const struct {
        const char *w_name, *b_name;
        size_t *w, *b, out, in;
    } maps[] = {
        {"block.qkv.w", "block.qkv.b", &s->qkv_w, &s->qkv_b, 3 * wide, wide},
        {"block.out.w", "block.out.b", &s->out_w, &s->out_b, wide, wide},
        {"block.up.w", "block.up.b", &s->up_w, &s->up_b, hidden, wide},
        {"block.down.w", "block.down.b", &s->down_w, &s->down_b, wide, hidden},
    };
    lcf_status status = LCF_OK;

    if (wide % r->config.bst_heads_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "bst: an item's %zu elements are no multiple of bst_heads_n %u", wide,
                        r->config.bst_heads_n);
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && !status; i++) {
        status = lcf_ranker_add_matrix(maps[i].w, r, maps[i].w_name, maps[i].out, maps[i].in,
                                       maps[i].in, err);
        if (!status)
            status =
                lcf_ranker_add_bias(maps[i].b, r, maps[i].b_name, maps[i].out, maps[i].in, err);
    }
    if (!status)
        status = declare_norms(r, wide, err);
    if (!status)
        status = lcf_ranker_add_head(&s->head, r, lcf_ranker_all_fields_dim(r, extra_dim), err);
    return status;
}

/* The tokens of all rows, one row after another: history, oldest first, then the target. */
typedef struct tokens {
    size_t n;
    uint32_t *item;    /* [n] indices into the batch's items */
    uint32_t *offsets; /* [rows_n + 1] */
    float *share;      /* [n] one over the number of tokens of its row */
} tokens;

static bool list_tokens(tokens *k, const ranker_pass *p)
{
    const ranker_batch *b = p->batch;
    uint32_t at = 0;

    k->n = b->pairs_n + b->rows_n;
    k->item = lcf_tape_alloc(p->tape, k->n, sizeof(*k->item));
    k->share = lcf_tape_alloc(p->tape, k->n, sizeof(*k->share));
    k->offsets = lcf_tape_alloc(p->tape, b->rows_n + 1, sizeof(*k->offsets));
    if (!k->item || !k->share || !k->offsets)
        return false;
    k->offsets[0] = 0;
    for (size_t i = 0; i < b->rows_n; i++) {
        const uint32_t *span = b->history_offsets + b->history[i], first = at;

        for (uint32_t entry = span[0]; entry < span[1]; entry++)
            k->item[at++] = b->history_items[entry];
        k->item[at++] = b->item[i];
        k->offsets[i + 1] = at;
        for (uint32_t j = first; j < at; j++)
            k->share[j] = 1.0f / (float)(at - first);
    }
    return true;
}

static lcf_tensor *linear(const ranker_pass *p, lcf_tensor *x, size_t w, size_t b)
{
    return lcf_op_linear(p->tape, x, lcf_ranker_param(p, w), lcf_ranker_param(p, b));
}

static lcf_tensor *drop(const ranker_pass *p, lcf_tensor *x)
{
    return lcf_op_dropout(p->tape, x, p->r->config.dropout, p->rng);
}

/* x + change, normalised. */
static lcf_tensor *residual(const ranker_pass *p, lcf_tensor *x, lcf_tensor *change, size_t w,
                            size_t b)
{
    return lcf_op_layernorm(p->tape, lcf_op_add(p->tape, x, drop(p, change)),
                            lcf_ranker_param(p, w), lcf_ranker_param(p, b), NORM_EPS);
}

/* The transformer layer and the mean of each row's tokens: items [items_n, E] -> [rows_n, E]. */
static lcf_tensor *encode(const ranker_pass *p, lcf_tensor *items, const tokens *k)
{
    const bst *s = p->r->backbone_state;
    const size_t n[1] = {k->n};
    lcf_tape *t = p->tape;
    lcf_tensor *x = lcf_op_gather(t, items, k->item, k->n);
    lcf_tensor *qkv = lcf_op_gather(t, linear(p, items, s->qkv_w, s->qkv_b), k->item, k->n);
    lcf_tensor *a =
        lcf_op_segment_attention(t, qkv, p->r->config.bst_heads_n, k->offsets, p->batch->rows_n);

    x = residual(p, x, linear(p, a, s->out_w, s->out_b), s->norm1_w, s->norm1_b);
    a = drop(p, lcf_op_leaky_relu(t, linear(p, x, s->up_w, s->up_b), SLOPE));
    x = residual(p, x, linear(p, a, s->down_w, s->down_b), s->norm2_w, s->norm2_b);
    return lcf_op_segment_sum(t, x, lcf_tape_input(t, k->share, n, 1), k->offsets,
                              p->batch->rows_n);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const bst *s = p->r->backbone_state;
    lcf_tensor *mean = f->target; /* of the same shape, where the tape has failed */
    tokens k;

    if (list_tokens(&k, p))
        mean = encode(p, f->items, &k);
    return lcf_ranker_head_forward(p, &s->head, lcf_ranker_fields_with(p, f, mean));
}

const ranker_backbone LCF_BACKBONE_BST = {
    .kind = {"bst", "BST: a transformer over history and target"},
    .state_bytes = sizeof(bst),
    .declare = declare,
    .logits = logits,
};
