/*
 * SASRec as a ranking backbone: the inner product of the target with the last hidden state of the
 * history. The extra vector has a weight per element. An empty history is the unknown item alone.
 *
 * source   Kang and McAuley 2018, as CoLLM (Zhang et al. 2023) trains it on clicks: two blocks, one
 *          head, no biases; companions.md section 2.7
 */
#include "common/model/sasrec.h"

#include "common/model/backbone.h"

#include <stdio.h>

enum { BLOCKS = 2, HEADS = 1 };

typedef struct sasrec {
    size_t position, norm_w, norm_b, extra;
    size_t block[BLOCKS][SASREC_PARAMS_N];
    bool has_extra;
} sasrec;

static lcf_status declare_block(lcf_ranker *r, size_t block, lcf_err *err)
{
    const size_t d = r->config.dim, h = d;
    const struct {
        const char *name;
        size_t rows, cols;
        lcf_init init;
    } params[SASREC_PARAMS_N] = {
#define PARAM(id, name, rows, cols, init) {name, rows, cols, init},
        SASREC_PARAMS(PARAM)
#undef PARAM
    };
    sasrec *s = r->backbone_state;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < SASREC_PARAMS_N && !status; i++) {
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "sequence.%zu.%s", block, params[i].name);
        status = lcf_ranker_add(&s->block[block][i], r, name, params[i].rows, params[i].cols,
                                params[i].init, 0.0f, err);
    }
    return status;
}

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t d = r->config.dim;
    sasrec *s = r->backbone_state;
    lcf_status status = lcf_ranker_add(&s->position, r, "sequence.position", LCF_HISTORY_MAX, d,
                                       LCF_INIT_NORMAL, SASREC_POSITION_SCALE, err);

    for (size_t i = 0; i < BLOCKS && !status; i++)
        status = declare_block(r, i, err);
    if (!status)
        status = lcf_ranker_add(&s->norm_w, r, "sequence.norm.w", d, 0, LCF_INIT_ONE, 0.0f, err);
    if (!status)
        status = lcf_ranker_add(&s->norm_b, r, "sequence.norm.b", d, 0, LCF_INIT_ZERO, 0.0f, err);
    s->has_extra = extra_dim > 0;
    if (!status && s->has_extra)
        status =
            lcf_ranker_add_matrix(&s->extra, r, "sequence.extra.w", 1, extra_dim, extra_dim, err);
    return status;
}

static lcf_tensor *param(const void *owner, size_t block, size_t i)
{
    const ranker_pass *p = owner;
    const sasrec *s = p->r->backbone_state;

    return lcf_ranker_param(p, s->block[block][i]);
}

/* The histories of rows, each once, oldest item first. */
typedef struct sequences {
    uint32_t *items;   /* rows of the table */
    uint32_t *offsets; /* [row_histories_n + 1] */
    uint32_t *last;    /* [row_histories_n] tokens */
} sequences;

static bool list(sequences *q, const ranker_pass *p)
{
    const ranker_batch *b = p->batch;
    const size_t n = b->row_histories_n;
    uint32_t at = 0;

    q->items = lcf_tape_alloc(p->tape, b->history_offsets[n] + n, sizeof(*q->items));
    q->offsets = lcf_tape_alloc(p->tape, n + 1, sizeof(*q->offsets));
    q->last = lcf_tape_alloc(p->tape, n, sizeof(*q->last));
    if (!q->items || !q->offsets || !q->last)
        return false;
    q->offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        for (uint32_t e = b->history_offsets[i]; e < b->history_offsets[i + 1]; e++)
            q->items[at++] = b->item_id[b->history_items[e]];
        if (b->history_offsets[i] == b->history_offsets[i + 1])
            q->items[at++] = 0;
        q->offsets[i + 1] = at;
        q->last[i] = at - 1;
    }
    return true;
}

/* The last hidden state of each row's history [rows_n, dim]; NULL when out of memory. */
static lcf_tensor *users(const ranker_pass *p, lcf_tensor *table)
{
    const sasrec *s = p->r->backbone_state;
    const ranker_batch *b = p->batch;
    const sasrec_net net = {.dim = p->r->config.dim,
                            .blocks_n = BLOCKS,
                            .heads_n = HEADS,
                            .dropout = p->r->config.dropout,
                            .position = lcf_ranker_param(p, s->position),
                            .norm_w = lcf_ranker_param(p, s->norm_w),
                            .norm_b = lcf_ranker_param(p, s->norm_b),
                            .param = param,
                            .owner = p};
    lcf_tape *t = p->tape;
    lcf_tensor *x = NULL;
    sequences q;

    if (list(&q, p))
        x = lcf_sasrec_encode(t, &net,
                              lcf_op_gather(t, table, q.items, q.offsets[b->row_histories_n]),
                              q.offsets, b->row_histories_n, p->rng);
    if (!x)
        return NULL;
    x = lcf_sasrec_norm(t, &net, lcf_op_gather(t, x, q.last, b->row_histories_n));
    return lcf_op_gather(t, x, b->history, b->rows_n);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const sasrec *s = p->r->backbone_state;
    const ranker_batch *b = p->batch;
    lcf_tape *t = p->tape;
    lcf_tensor *table = lcf_ranker_param(p, p->r->item_table);
    lcf_tensor *items = lcf_op_gather(t, table, b->item_id, b->items_n);
    lcf_tensor *target = lcf_op_gather(t, items, b->item, b->rows_n), *user = users(p, table);
    lcf_tensor *sum = lcf_op_row_dot(t, user ? user : target, target);

    return s->has_extra
               ? lcf_op_add(t, sum, lcf_op_linear(t, f->extra, lcf_ranker_param(p, s->extra), NULL))
               : sum;
}

const ranker_backbone LCF_BACKBONE_SASREC = {
    .kind = {"sasrec", "SASRec: causal self-attention over the history"},
    .state_bytes = sizeof(sasrec),
    .tables = RANKER_TABLES_ITEMS,
    .declare = declare,
    .logits = logits,
};
