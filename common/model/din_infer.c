/*
 * DIN for inference: many targets against one history.
 *
 * The first attention layer is (Wq + Wd + Wm diag(h)) q + (Wh - Wd) h + b: for a history entry h
 * one matrix and one vector, made once for all targets that are held against it. What the user
 * contributes to the first layer of the head is a vector of that kind, too.
 *
 * That matrix goes over the fields of q one by one, for targets have few brands and few sets of
 * categories: a field with many equal values among the targets is multiplied once for each of them.
 *
 * Rows are taken in runs of neighbours that share user and history. Where runs are short, as in
 * evaluation, the matrices would cost more than they save, and the definition does the work.
 */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/rows.h"
#include "common/model/din.h"

#include <string.h>

#define RUN_MIN 8     /* rows per history from which on its matrices are worth it */
#define BLOCK 48      /* rows at a time: their activations stay in the first-level cache */

/* ---- the plan ---- */

static size_t blocks_n(const lcf_ranker *r)
{
    return r->item_dim / r->config.dim;
}

/* Floats of a matrix over one field. */
static size_t packed_n(const lcf_ranker *r)
{
    return lcf_packed_n(r->config.dim, r->config.att_hidden[0]);
}

/* A matrix over an item, field by field. */
static float *pack_blocks(ranker_packer *k, size_t param)
{
    const size_t dim = k->r->config.dim;
    float *first = lcf_ranker_pack(k, &param, 1, 0, dim);

    for (size_t i = 1; i < blocks_n(k->r); i++)
        lcf_ranker_pack(k, &param, 1, i * dim, dim);
    return first;
}

void lcf_din_pack(void *state, ranker_packer *k)
{
    const lcf_ranker *r = k->r;
    const din *s = r->backbone_state;
    const size_t *head_dims = r->params.list[s->head.w[0]].dims;
    din_plan *plan = state;
    float *d, *d_blocks;

    plan->q = pack_blocks(k, s->q);
    plan->m = pack_blocks(k, s->m);
    plan->h = lcf_ranker_pack(k, &s->h, 1, 0, r->item_dim);
    plan->att = lcf_ranker_pack(k, &s->att.w[0], 1, 0, r->config.att_hidden[0]);
    plan->head_user = lcf_ranker_pack(k, &s->head.w[0], 1, 0, r->user_dim);
    plan->head_item = lcf_ranker_pack(k, &s->head.w[0], 1, r->user_dim, r->item_dim);
    plan->head_pooled =
        lcf_ranker_pack(k, &s->head.w[0], 1, r->user_dim + r->item_dim, r->item_dim);
    plan->rest_dim = head_dims[1] - r->user_dim - 2 * r->item_dim;
    plan->head_rest =
        lcf_ranker_pack(k, &s->head.w[0], 1, r->user_dim + 2 * r->item_dim, plan->rest_dim);
    plan->head_hidden = lcf_ranker_pack(k, &s->head.w[1], 1, 0, r->config.head_hidden[0]);
    plan->head_bias[0] = lcf_ranker_fold(k, &s->head, 0,
                                         (ranker_packed_part[]){{plan->head_user, r->user_dim},
                                                                {plan->head_item, r->item_dim},
                                                                {plan->head_pooled, r->item_dim},
                                                                {plan->head_rest, plan->rest_dim}},
                                         4);
    plan->head_bias[1] = lcf_ranker_fold(
        k, &s->head, 1, &(ranker_packed_part){plan->head_hidden, r->config.head_hidden[0]}, 1);
    d = lcf_ranker_pack(k, &s->d, 1, 0, r->item_dim);
    d_blocks = pack_blocks(k, s->d);
    for (size_t i = 0; d && i < blocks_n(r) * packed_n(r); i++) {
        plan->q[i] += d_blocks[i];
        plan->h[i] -= d[i];
    }
}

/* ---- constants of items ---- */

size_t lcf_din_item_parts_n(const lcf_ranker *r)
{
    return r->config.head_hidden[0];
}

void lcf_din_item_parts(float *out, size_t ld, const ranker_pass *p, ranker_fields *f)
{
    const din_plan *plan = p->r->frozen.backbone_plan.state;
    const size_t item = p->r->item_dim;

    lcf_packed_linear(out, ld, f->target->data, item, plan->head_item, NULL, p->batch->rows_n, item,
                      p->r->config.head_hidden[0], 0);
}

/* ---- one pass ---- */

/* A field of the run's targets whose values are few. */
typedef struct field {
    bool few;      /* else the others say nothing */
    size_t n;      /* distinct values */
    float *values; /* [rows_n, dim] the first n */
    float *table;  /* [rows_n, att_hidden[0]] what they give for the entry at hand */
    uint32_t *of;  /* [rows_n] value of a row */
} field;

typedef struct infer {
    const ranker_pass *p;
    const lcf_ranker *r;
    const din *s;
    const din_plan *plan;
    const ranker_fields *f;
    size_t entries_n; /* of the run's history */
    float *history;   /* [LCF_HISTORY_MAX, item_dim] */
    float *constants; /* [LCF_HISTORY_MAX, att_hidden[0]] (Wh - Wd) h + b */
    float *matrix;    /* Wq + Wd + Wm diag(h) of one entry, packed by field */
    field *fields;    /* [blocks_n] of the run; the first, the id, has never few values */
    /* [blocks_n] of the fields of few values, and from a block's first row on */
    lcf_rows_part *tables, *block_tables;
    uint32_t *slots;            /* [slots_n] a hash table of values */
    size_t slots_n;             /* a power of two */
    size_t last_block;          /* the last field without few values */
    float *weights;             /* [rows_n, LCF_HISTORY_MAX] */
    float *user;                /* [head_hidden[0]] */
    float *first, *second, *at; /* [BLOCK, of the attention's layers], the last one [BLOCK] */
    float *pooled;              /* what each entry gives to the head's first layer, packed */
    float *rest;                /* [BLOCK, rest_dim] all fields behind the pooled history */
    float *hidden, *hidden2;    /* [BLOCK, of the head's layers] */
    float *logits;              /* [rows_n] */
} infer;

static float *floats(const infer *w, size_t rows, size_t n)
{
    return lcf_tape_alloc(w->p->tape, rows * n, sizeof(float));
}

static bool infer_alloc(infer *w)
{
    const lcf_ranker_config *c = &w->r->config;
    const size_t rows_n = w->p->batch->rows_n;

    w->history = floats(w, LCF_HISTORY_MAX, w->r->item_dim);
    w->constants = floats(w, LCF_HISTORY_MAX, c->att_hidden[0]);
    w->matrix = floats(w, blocks_n(w->r), packed_n(w->r));
    w->fields = lcf_tape_alloc(w->p->tape, blocks_n(w->r), sizeof(*w->fields));
    w->tables = lcf_tape_alloc(w->p->tape, blocks_n(w->r), sizeof(*w->tables));
    w->block_tables = lcf_tape_alloc(w->p->tape, blocks_n(w->r), sizeof(*w->block_tables));
    for (size_t i = 0; w->fields && i < blocks_n(w->r); i++) {
        w->fields[i] = (field){.few = false};
        w->fields[i].values = i ? floats(w, rows_n, c->dim) : NULL;
        w->fields[i].table = i ? floats(w, rows_n, c->att_hidden[0]) : NULL;
        w->fields[i].of = i ? lcf_tape_alloc(w->p->tape, rows_n, sizeof(uint32_t)) : NULL;
    }
    for (w->slots_n = 16; w->slots_n < 2 * rows_n;)
        w->slots_n *= 2;
    w->slots = lcf_tape_alloc(w->p->tape, w->slots_n, sizeof(*w->slots));
    w->weights = floats(w, rows_n, LCF_HISTORY_MAX);
    w->user = floats(w, 1, c->head_hidden[0]);
    w->first = floats(w, BLOCK, c->att_hidden[0]);
    w->second = floats(w, BLOCK, c->att_hidden[1]);
    w->at = floats(w, BLOCK, 1);
    w->pooled = floats(w, 1, lcf_packed_n(LCF_HISTORY_MAX, c->head_hidden[0]));
    w->rest = floats(w, BLOCK, w->plan->rest_dim);
    w->hidden = floats(w, BLOCK, c->head_hidden[0]);
    w->hidden2 = floats(w, BLOCK, c->head_hidden[1]);
    w->logits = floats(w, rows_n, 1);
    return lcf_tape_status(w->p->tape) == LCF_OK;
}

static const float *value(const infer *w, size_t param)
{
    return lcf_params_value(&w->r->params, param);
}

/* The head's first layer after the history as a matrix over the attention's weights: a row that
 * weighs the entries need not sum them. */
static void pack_pooled(infer *w)
{
    const size_t item = w->r->item_dim, n = w->entries_n;

    for (size_t at = 0; at < w->r->config.head_hidden[0]; at += LCF_PANEL)
        lcf_packed_linear(w->pooled + at * n, LCF_PANEL, w->history, item,
                          w->plan->head_pooled + at * item, NULL, n, item, LCF_PANEL, 0);
}

/* What a run's rows share: history entries, what they give to attention and head, the user's part
 * of the head. */
static void begin_run(infer *w, size_t row)
{
    const ranker_batch *b = w->p->batch;
    const size_t item = w->r->item_dim, hidden = w->r->config.att_hidden[0];
    const size_t user = w->r->user_dim;
    const uint32_t *span = b->history_offsets + b->history[row];

    w->entries_n = span[1] - span[0];
    for (size_t i = 0; i < w->entries_n; i++)
        memcpy(w->history + i * item, w->f->items->data + b->history_items[span[0] + i] * item,
               item * sizeof(float));
    lcf_packed_linear(w->constants, hidden, w->history, item, w->plan->h, value(w, w->s->b),
                      w->entries_n, item, hidden, 0);
    lcf_packed_linear(w->user, w->r->config.head_hidden[0], w->f->user->data + row * user, user,
                      w->plan->head_user, w->plan->head_bias[0], 1, user,
                      w->r->config.head_hidden[0], 0);
    pack_pooled(w);
}

/* The distinct values of field `block` among the targets of rows [begin, end), and whether they are
 * few. */
static void find_values(infer *w, size_t block, size_t begin, size_t end)
{
    const size_t dim = w->r->config.dim, item = w->r->item_dim;
    field *f = &w->fields[block];

    f->n = 0;
    memset(w->slots, 0xff, w->slots_n * sizeof(*w->slots));
    for (size_t row = begin; row < end; row++) {
        const float *value = w->f->target->data + row * item + block * dim;
        size_t at = lcf_hash64(value, dim * sizeof(float), 0) & (w->slots_n - 1);

        while (w->slots[at] != UINT32_MAX &&
               memcmp(f->values + w->slots[at] * dim, value, dim * sizeof(float)) != 0)
            at = (at + 1) & (w->slots_n - 1);
        if (w->slots[at] == UINT32_MAX) {
            memcpy(f->values + f->n * dim, value, dim * sizeof(float));
            w->slots[at] = (uint32_t)f->n++;
        }
        f->of[row] = w->slots[at];
    }
    f->few = f->n * 4 <= (end - begin) * 3;
}

/* The matrix of one entry: row i of every panel is that of Wq + Wd and, times h[i], that of Wm. */
static void make_matrix(infer *w, const float *h)
{
    const size_t dim = w->r->config.dim, n = packed_n(w->r);

    for (size_t block = 0; block < blocks_n(w->r); block++)
        for (size_t at = 0; at < n; at += LCF_PANEL) {
            const float *q = w->plan->q + block * n + at, *m = w->plan->m + block * n + at;
            const float factor = h[block * dim + at / LCF_PANEL % dim];
            float *restrict out = w->matrix + block * n + at;

            for (size_t j = 0; j < LCF_PANEL; j++)
                out[j] = q[j] + m[j] * factor;
        }
}

/* The tables of one entry; its constant is in the first of them. Returns how many there are. */
static size_t make_tables(infer *w, const float *constant)
{
    const size_t dim = w->r->config.dim, hidden = w->r->config.att_hidden[0];
    size_t n = 0;

    for (size_t block = 1; block < blocks_n(w->r); block++) {
        const field *f = &w->fields[block];

        if (!f->few)
            continue;
        lcf_packed_linear(f->table, hidden, f->values, dim, w->matrix + block * packed_n(w->r),
                          n ? NULL : constant, f->n, dim, hidden, 0);
        w->tables[n++] = (lcf_rows_part){f->table, f->of};
    }
    return n;
}

/* The first attention layer of rows [row, row + n) for one entry. */
static void first_layer(infer *w, size_t row, size_t n, const float *constant, size_t tables_n)
{
    const size_t dim = w->r->config.dim, item = w->r->item_dim;
    const size_t hidden = w->r->config.att_hidden[0], last = w->last_block;
    bool any = tables_n > 0;

    for (size_t i = 0; i < tables_n; i++) {
        w->block_tables[i] = w->tables[i];
        w->block_tables[i].ids += row;
    }
    if (any)
        lcf_rows_sum(w->first, hidden, w->block_tables, tables_n, n, hidden);
    for (size_t block = 0; block <= last; block++) {
        if (w->fields[block].few)
            continue;
        lcf_packed_linear(w->first, hidden, w->f->target->data + row * item + block * dim, item,
                          w->matrix + block * packed_n(w->r), any ? NULL : constant, n, dim, hidden,
                          (any ? LCF_PACKED_ADD : 0) | (block == last ? LCF_PACKED_RELU : 0));
        any = true;
    }
}

/* Attention weights of rows [row, row + n) for one entry. */
static void weigh(infer *w, size_t row, size_t n, size_t entry, size_t tables_n)
{
    const size_t h0 = w->r->config.att_hidden[0], h1 = w->r->config.att_hidden[1];
    const ranker_mlp *att = &w->s->att;

    first_layer(w, row, n, w->constants + entry * h0, tables_n);
    lcf_packed_linear(w->second, h1, w->first, h0, w->plan->att, value(w, att->b[0]), n, h0, h1,
                      LCF_PACKED_RELU);
    lcf_linear(w->at, w->second, value(w, att->w[1]), value(w, att->b[1]), n, h1, 1);
    for (size_t i = 0; i < n; i++)
        w->weights[(row + i) * LCF_HISTORY_MAX + entry] = w->at[i];
}

/* The fields of rows [row, row + n) behind the pooled history, in the order of
 * lcf_ranker_fields_with. */
static void gather_rest(infer *w, size_t row, size_t n)
{
    const lcf_tensor *parts[] = {w->f->context, w->f->extra};
    size_t at = 0;

    for (size_t part = 0; part < 2; part++) {
        const size_t dim = parts[part] ? parts[part]->dims[1] : 0;

        for (size_t i = 0; i < n && dim; i++)
            memcpy(w->rest + i * w->plan->rest_dim + at, parts[part]->data + (row + i) * dim,
                   dim * sizeof(float));
        at += dim;
    }
}

/* What user and target give to the head's first layer for rows [row, row + n). */
static void begin_head(infer *w, size_t row, size_t n)
{
    const size_t h0 = w->r->config.head_hidden[0];

    for (size_t i = 0; i < n; i++) {
        const float *item = lcf_ranker_item_parts(w->p, row + i) + w->r->frozen.side_parts_n;
        float *restrict to = w->hidden + i * h0;

        for (size_t j = 0; j < h0; j++)
            to[j] = w->user[j] + item[j];
    }
}

static void head(infer *w, size_t row, size_t n)
{
    const size_t h0 = w->r->config.head_hidden[0], h1 = w->r->config.head_hidden[1];
    const size_t width = w->plan->rest_dim;
    const ranker_mlp *mlp = &w->s->head;

    gather_rest(w, row, n);
    begin_head(w, row, n);
    lcf_packed_linear(w->hidden, h0, w->weights + row * LCF_HISTORY_MAX, LCF_HISTORY_MAX, w->pooled,
                      NULL, n, w->entries_n, h0, LCF_PACKED_ADD);
    lcf_packed_linear(w->hidden, h0, w->rest, width, w->plan->head_rest, NULL, n, width, h0,
                      LCF_PACKED_ADD | LCF_PACKED_RELU);
    lcf_packed_linear(w->hidden2, h1, w->hidden, h0, w->plan->head_hidden, w->plan->head_bias[1], n,
                      h0, h1, LCF_PACKED_RELU);
    lcf_linear(w->logits + row, w->hidden2, value(w, mlp->w[2]), value(w, mlp->b[2]), n, h1, 1);
}

/* Asks the memory for the constants of the targets of rows [row, end): they lie anywhere among all
 * items. */
static void fetch_parts(const infer *w, size_t row, size_t end)
{
    const size_t bytes = w->r->config.head_hidden[0] * sizeof(float);

    for (; row < end; row++)
        lcf_fetch(lcf_ranker_item_parts(w->p, row) + w->r->frozen.side_parts_n, bytes);
}

static void score_run(infer *w, size_t begin, size_t end)
{
    begin_run(w, begin);
    w->last_block = 0;
    for (size_t block = 1; block < blocks_n(w->r); block++) {
        find_values(w, block, begin, end);
        if (!w->fields[block].few)
            w->last_block = block;
    }
    for (size_t entry = 0; entry < w->entries_n; entry++) {
        const size_t n = end - begin;
        size_t tables_n;

        /* the head comes after all entries: each brings its share */
        fetch_parts(w, begin + n * entry / w->entries_n, begin + n * (entry + 1) / w->entries_n);
        make_matrix(w, w->history + entry * w->r->item_dim);
        tables_n = make_tables(w, w->constants + entry * w->r->config.att_hidden[0]);
        for (size_t row = begin; row < end; row += BLOCK)
            weigh(w, row, end - row < BLOCK ? end - row : BLOCK, entry, tables_n);
    }
    for (size_t row = begin; row < end; row += BLOCK)
        head(w, row, end - row < BLOCK ? end - row : BLOCK);
}

lcf_tensor *lcf_din_infer(const ranker_pass *p, ranker_fields *f)
{
    const ranker_batch *b = p->batch;
    const size_t shape[2] = {b->rows_n, 1};
    infer w = {.p = p, .r = p->r, .s = p->r->backbone_state, .f = f};

    if (b->rows_n < RUN_MIN * b->row_histories_n)
        return lcf_din_logits(p, f);
    w.plan = p->r->frozen.backbone_plan.state;
    if (infer_alloc(&w))
        for (size_t begin = 0, end; begin < b->rows_n; begin = end) {
            end = lcf_ranker_run_end(b, begin);
            score_run(&w, begin, end);
        }
    return lcf_tape_input(p->tape, w.logits, shape, 2);
}
