/*
 * The ICT module for inference: nothing is noted for a backward pass, and little is computed twice.
 *
 * Rows are cases side by side (columns.h), LCF_COLUMNS at a time: a group has rows of equally many
 * examples, and its tokens stand one after the other, three to an example, the rows' own last. The
 * first example of a row sees no other: what its tokens become is a constant. In the last layer
 * examples are keys and values alone, and values are mapped only after they were summed.
 *
 * Invariant: a row's state does not depend on the rows beside it.
 */
#include "common/base/mem.h"
#include "common/math/columns.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/model/ict.h"

#include <math.h>
#include <string.h>

#define GROUP LCF_COLUMNS /* rows whose tokens are computed together: they stay in the cache */
#define NODE 3            /* tokens of an example, the last one its label */
#define FFN_TOKENS 3      /* of a group, that go through the feed-forward part together */

/* q, k and v, one below the other: what takes some of them begins in between. */
static const float *stack_qkv(ranker_packer *k, const ict_layer *l)
{
    const size_t n = (size_t)k->r->config.dim * k->r->config.dim, parts[] = {l->q, l->k, l->v};
    float *to = lcf_ranker_pack_take(k, 3 * n);

    for (size_t i = 0; to && i < 3; i++)
        memcpy(to + i * n, lcf_params_value(&k->r->params, parts[i]), n * sizeof(*to));
    return to;
}

/* The last layer's o after its v: of head h the columns [h dim, (h + 1) dim), since a head sums the
 * whole tokens and not its part of their values. */
static const float *pack_ov(ranker_packer *k, const ict_layer *l)
{
    const lcf_ranker *r = k->r;
    const size_t dim = r->config.dim, heads = r->config.heads_n, head_dim = dim / heads;
    const float *o = lcf_params_value(&r->params, l->o), *v = lcf_params_value(&r->params, l->v);
    float *ov = lcf_ranker_pack_take(k, dim * heads * dim);

    for (size_t row = 0; ov && row < dim; row++)
        for (size_t h = 0; h < heads; h++)
            for (size_t col = 0; col < dim; col++) {
                double sum = 0;

                for (size_t i = h * head_dim; i < (h + 1) * head_dim; i++)
                    sum += (double)o[row * dim + i] * (double)v[i * dim + col];
                ov[(row * heads + h) * dim + col] = (float)sum;
            }
    return ov;
}

void lcf_ict_pack(void *state, ranker_packer *k)
{
    const lcf_ranker *r = k->r;
    const size_t dim = r->config.dim, item = r->item_dim + dim, user = r->user_dim;
    const ict *s = r->side_state;
    ict_plan *plan = state;

    plan->x_user = lcf_ranker_pack(k, &s->x.w[0], 1, 0, user);
    plan->x_item = lcf_ranker_pack(k, &s->x.w[0], 1, user, item);
    plan->x_history = lcf_ranker_pack(k, &s->x.w[0], 1, user + item, item);
    plan->x_out = lcf_ranker_pack(k, &s->x.w[1], 1, 0, r->config.x_hidden);
    for (size_t i = 0; i < r->config.layers_n; i++) {
        const ict_layer *l = &s->layers[i];

        plan->layers[i] = (ict_plan_layer){
            .norm1 = lcf_params_value(&r->params, l->norm1),
            .norm2 = lcf_params_value(&r->params, l->norm2),
            .qkv = stack_qkv(k, l),
            .o = lcf_params_value(&r->params, l->o),
            .gate = lcf_params_value(&r->params, l->gate),
            .up = lcf_params_value(&r->params, l->up),
            .down = lcf_params_value(&r->params, l->down),
        };
    }
    plan->last_ov = pack_ov(k, &s->layers[r->config.layers_n - 1]);
}

/* ---- one pass ---- */

typedef struct infer {
    const ranker_pass *p;
    const ict *s;
    const ict_plan *plan;
    uint32_t *run;     /* [rows_n] runs of neighbours that share user and history */
    float *user_parts; /* [runs, x_hidden] */
    float *fields;     /* [item_dim + dim] */
    float *hidden;     /* [GROUP, x_hidden] */
    float *own;        /* [GROUP, dim] the rows' own tokens */
    float *cos_sin;    /* [tokens, head_dim] */
    float *label_qkv;  /* [2, 3 dim] of a label's token in the first layer */
    float *x, *normed; /* [dim, ld] columns of all tokens of a group */
    float *qkv;        /* [3 dim, ld] */
    float *mixed;      /* [heads_n * dim, ld] */
    float *ffn_normed; /* [dim, FFN_TOKENS of a group] */
    float *gate, *up;  /* [ffn_hidden, FFN_TOKENS of a group] */
    float *weights;    /* [tokens of a group] */
    size_t ld;
    const uint32_t *rows;            /* [GROUP] of the group; the last may stand repeatedly */
    const uint32_t *next_rows;       /* [next_n] of the group that follows */
    size_t next_n;
    const uint32_t *examples[GROUP]; /* of each, [tokens / NODE] */
    size_t first_n;                  /* tokens whose next states are constants */
    size_t tokens_n;                 /* of each row */
} infer;

static size_t dim_of(const infer *w)
{
    return w->p->r->config.dim;
}

/* ---- the rows' own tokens ---- */

size_t lcf_ict_item_parts_n(const lcf_ranker *r)
{
    return r->config.x_hidden;
}

void lcf_ict_item_parts(float *out, size_t ld, const ranker_pass *p, ranker_fields *f)
{
    const ranker_batch *b = p->batch;
    const lcf_ranker *r = p->r;
    const ict_plan *plan = r->frozen.side_plan.state;
    const size_t dim = r->config.dim, width = r->item_dim + dim;
    float *fields = lcf_tape_alloc(p->tape, b->rows_n * width, sizeof(*fields));

    for (size_t i = 0; fields && i < b->rows_n; i++) {
        memcpy(fields + i * width, f->target->data + i * r->item_dim,
               r->item_dim * sizeof(*fields));
        memcpy(fields + i * width + r->item_dim,
               r->frozen.item_tokens + b->catalogue_item[b->item[i]] * dim, dim * sizeof(*fields));
    }
    if (fields)
        lcf_packed_linear(out, ld, fields, width, plan->x_item, NULL, b->rows_n, width,
                          r->config.x_hidden, 0);
}

/* What user and history contribute to the first layer of x, by run. */
static bool user_parts(infer *w, ranker_fields *f)
{
    const ranker_pass *p = w->p;
    const ranker_batch *b = p->batch;
    const lcf_ranker *r = p->r;
    const size_t hidden = r->config.x_hidden, width = r->item_dim + r->config.dim;
    const float *bias = lcf_params_value(&r->params, w->s->x.b[0]);
    lcf_tensor *means = lcf_ranker_history_means(p, f);
    lcf_tensor *texts = lcf_ict_text_tokens(p, b->texts, b->texts_n);
    uint32_t run = 0;

    if (lcf_tape_status(p->tape))
        return false;
    for (size_t row = 0, end; row < b->rows_n; row = end, run++) {
        float *out = w->user_parts + run * hidden;

        end = lcf_ranker_run_end(b, row);
        for (size_t i = row; i < end; i++)
            w->run[i] = run;
        memcpy(w->fields, means->data + b->history[row] * r->item_dim, r->item_dim * sizeof(float));
        memcpy(w->fields + r->item_dim, texts->data + b->history_text[row] * r->config.dim,
               r->config.dim * sizeof(float));
        lcf_packed_linear(out, hidden, f->user->data + row * r->user_dim, r->user_dim,
                          w->plan->x_user, bias, 1, r->user_dim, hidden, 0);
        lcf_packed_linear(out, hidden, w->fields, width, w->plan->x_history, NULL, 1, width, hidden,
                          LCF_PACKED_ADD);
    }
    return true;
}

/* The group's own tokens, from nine fields. */
static void own_tokens(const infer *w)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, hidden = r->config.x_hidden;
    const float *bias = lcf_params_value(&r->params, w->s->x.b[1]), *cases[GROUP];

    for (size_t i = 0; i < GROUP; i++) {
        const float *user = w->user_parts + w->run[w->rows[i]] * hidden;
        const float *item = lcf_ranker_item_parts(w->p, w->rows[i]);
        float *restrict to = w->hidden + i * hidden;

        for (size_t j = 0; j < hidden; j++) {
            const float sum = user[j] + item[j];

            to[j] = sum > 0 ? sum : 0;
        }
        cases[i] = w->own + i * dim;
    }
    lcf_packed_linear(w->own, dim, w->hidden, hidden, w->plan->x_out, bias, GROUP, hidden, dim, 0);
    lcf_columns_gather(w->x + (w->tokens_n - 1) * GROUP, w->ld, cases, dim);
}

/* ---- a group's tokens ---- */

static const uint32_t *examples_of(const infer *w, uint32_t row)
{
    const ranker_batch *b = w->p->batch;

    return b->slot_example + b->slot_offsets[row * b->slots_n];
}

/* Three tokens of every case, one after the other, as those of slot `slot`. */
static void put_tokens(const infer *w, size_t slot, const float *cases[GROUP])
{
    const size_t dim = dim_of(w);

    for (size_t t = 0; t < NODE; t++) {
        lcf_columns_gather(w->x + (slot * NODE + t) * GROUP, w->ld, cases, dim);
        for (size_t i = 0; i < GROUP; i++)
            cases[i] += dim;
    }
}

/* Asks the memory for what the next group reads of its examples in slot `slot`, and with the first
 * of its items: all of it lies anywhere among many. */
static void fetch_next(const infer *w, size_t slot)
{
    const ranker_frozen *f = &w->p->r->frozen;
    const size_t tokens_n = NODE * dim_of(w), states_n = f->example_states_n;

    for (size_t i = 0; i < w->next_n; i++) {
        const uint32_t example = examples_of(w, w->next_rows[i])[slot];

        lcf_fetch(f->example_tokens + tokens_n * example, tokens_n * sizeof(float));
        if (slot)
            continue;
        lcf_fetch(f->example_states + states_n * example, states_n * sizeof(float));
        lcf_fetch(lcf_ranker_item_parts(w->p, w->next_rows[i]),
                  w->p->r->config.x_hidden * sizeof(float));
    }
}

/* Lays out a group of rows: the tokens of their examples, then their own. */
static void lay_out(infer *w, const uint32_t *rows, size_t examples_n)
{
    const ranker_frozen *f = &w->p->r->frozen;
    const float *cases[GROUP];

    w->rows = rows;
    w->tokens_n = NODE * examples_n + 1;
    w->first_n = examples_n ? NODE : 0;
    for (size_t i = 0; i < GROUP; i++)
        w->examples[i] = examples_of(w, rows[i]);
    for (size_t slot = 0; slot < examples_n; slot++) {
        for (size_t i = 0; i < GROUP; i++)
            cases[i] = f->example_tokens + NODE * dim_of(w) * w->examples[i][slot];
        put_tokens(w, slot, cases);
    }
    own_tokens(w);
}

/* ---- layers ---- */

/* Rows [first, last) of queries, keys and values of tokens [token, end). */
static void project(const infer *w, const ict_plan_layer *l, size_t first, size_t last,
                    size_t token, size_t end)
{
    const size_t dim = dim_of(w);

    lcf_columns_linear(w->qkv + first * w->ld + token * GROUP, w->ld, w->normed + token * GROUP,
                       w->ld, l->qkv + first * dim, (end - token) * GROUP, dim, last - first,
                       false);
}

/* The same of the examples in the first layer, where two tokens are all that labels can be. */
static void project_examples(const infer *w, const ict_plan_layer *l)
{
    const uint8_t *label = w->p->source->examples->label;
    const size_t dim = dim_of(w);

    for (size_t at = 0, slot = 0; at + 1 < w->tokens_n; at += NODE, slot++) {
        const size_t skip = slot ? 0 : dim; /* the first's queries are not needed */
        const float *cases[GROUP];

        fetch_next(w, slot);
        project(w, l, skip, 3 * dim, at, at + NODE - 1);
        for (size_t i = 0; i < GROUP; i++)
            cases[i] = w->label_qkv + label[w->examples[i][slot]] * 3 * dim + skip;
        lcf_columns_gather(w->qkv + skip * w->ld + (at + NODE - 1) * GROUP, w->ld, cases,
                           3 * dim - skip);
    }
}

/* What tokens [begin, end) read of all up to themselves, into `mixed`; `values` as `whole` says. */
static void attend(const infer *w, size_t begin, const float *values, bool whole)
{
    const size_t dim = dim_of(w), heads = w->p->r->config.heads_n, head_dim = dim / heads;
    const lcf_columns_shape all = {heads, head_dim, 0, w->tokens_n};
    const lcf_columns_shape asking = {heads, head_dim, begin, w->tokens_n};
    float *q = w->qkv + begin * GROUP, *k = w->qkv + dim * w->ld;

    lcf_columns_rope(q, w->ld, w->cos_sin, &asking, 1.0f / sqrtf((float)head_dim));
    lcf_columns_rope(k, w->ld, w->cos_sin, &all, 1.0f);
    lcf_columns_attend(w->mixed, w->ld, q, w->ld, k, w->ld, values, w->ld, &asking,
                       whole ? dim : head_dim, whole, w->weights);
}

/* x += down(silu(gate) * up), of tokens [token, end). */
static void feed_forward(const infer *w, const ict_plan_layer *l, size_t token, size_t end)
{
    const size_t dim = dim_of(w), ffn = w->p->r->config.ffn_hidden;

    for (size_t n; token < end; token += n) {
        float *x = w->x + token * GROUP;
        size_t columns;

        n = end - token < FFN_TOKENS ? end - token : FFN_TOKENS;
        columns = n * GROUP;
        lcf_columns_rmsnorm(w->ffn_normed, columns, x, w->ld, l->norm2, dim, columns,
                            LCF_RANKER_NORM_EPS);
        lcf_columns_linear(w->gate, columns, w->ffn_normed, columns, l->gate, columns, dim, ffn,
                           false);
        lcf_columns_linear(w->up, columns, w->ffn_normed, columns, l->up, columns, dim, ffn, false);
        lcf_swiglu(w->gate, w->gate, w->up, ffn * columns);
        lcf_columns_linear(x, w->ld, w->gate, columns, l->down, columns, ffn, dim, true);
    }
}

/* A layer of which every token is needed. Queries, keys and values lie in qkv. */
static void finish_layer(const infer *w, const ict_plan_layer *l)
{
    const size_t dim = dim_of(w), n = (w->tokens_n - w->first_n) * GROUP;

    attend(w, w->first_n, w->qkv + 2 * dim * w->ld, false);
    lcf_columns_linear(w->x + w->first_n * GROUP, w->ld, w->mixed, w->ld, l->o, n, dim, dim, true);
    feed_forward(w, l, w->first_n, w->tokens_n);
}

static void layer(const infer *w, size_t i)
{
    const ict_plan_layer *l = &w->plan->layers[i];
    const ranker_frozen *f = &w->p->r->frozen;
    const size_t dim = dim_of(w), own = w->tokens_n - 1;
    const float *cases[GROUP];

    lcf_columns_rmsnorm(w->normed, w->ld, w->x, w->ld, l->norm1, dim, w->tokens_n * GROUP,
                        LCF_RANKER_NORM_EPS);
    if (i == 0) {
        project_examples(w, l);
        project(w, l, 0, 3 * dim, own, own + 1);
    } else {
        project(w, l, dim, 3 * dim, 0, w->first_n);
        project(w, l, 0, 3 * dim, w->first_n, w->tokens_n);
    }
    finish_layer(w, l);
    for (size_t c = 0; w->first_n && c < GROUP; c++)
        cases[c] = f->example_states + f->example_states_n * w->examples[c][0] + NODE * dim * i;
    if (w->first_n)
        put_tokens(w, 0, cases);
}

/* The last layer: only the rows' own tokens leave it. */
static void last_layer(const infer *w)
{
    const lcf_ranker_config *c = &w->p->r->config;
    const ict_plan_layer *l = &w->plan->layers[c->layers_n - 1];
    const size_t dim = c->dim, ld = w->ld, own = w->tokens_n - 1;

    lcf_columns_rmsnorm(w->normed, ld, w->x, ld, l->norm1, dim, w->tokens_n * GROUP,
                        LCF_RANKER_NORM_EPS);
    project(w, l, dim, 2 * dim, 0, own);
    project(w, l, 0, 2 * dim, own, own + 1);
    attend(w, own, w->normed, true);
    lcf_columns_linear(w->x + own * GROUP, ld, w->mixed, ld, w->plan->last_ov, GROUP,
                       c->heads_n * dim, dim, true);
    feed_forward(w, l, own, own + 1);
}

/* The states of a group's rows. */
static void decode(infer *w, float *out, const uint32_t *rows, size_t examples_n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim;
    float *cases[GROUP];

    lay_out(w, rows, examples_n);
    for (size_t i = 0; i + 1 < r->config.layers_n; i++)
        layer(w, i);
    last_layer(w);
    lcf_columns_rmsnorm(w->normed, w->ld, w->x + (w->tokens_n - 1) * GROUP, w->ld,
                        lcf_params_value(&r->params, w->s->norm), dim, GROUP, LCF_RANKER_NORM_EPS);
    for (size_t i = 0; i < GROUP; i++)
        cases[i] = out + rows[i] * dim;
    lcf_columns_scatter(cases, w->normed, w->ld, dim);
}

/* ---- groups ---- */

/* Room for groups of rows of up to slots_n examples. */
static bool infer_init(infer *w, const ranker_pass *p, size_t slots_n)
{
    const lcf_ranker_config *c = &p->r->config;
    const size_t dim = c->dim, head_dim = dim / c->heads_n, tokens = NODE * slots_n + 1;
    lcf_tape *tape = p->tape;

    *w = (infer){.p = p, .s = p->r->side_state, .plan = p->r->frozen.side_plan.state};
    w->ld = (tokens | 1) * GROUP; /* rows a power of two apart would share the cache's sets */
    w->fields = lcf_tape_alloc(tape, p->r->item_dim + dim, sizeof(float));
    w->hidden = lcf_tape_alloc(tape, GROUP * c->x_hidden, sizeof(float));
    w->own = lcf_tape_alloc(tape, GROUP * dim, sizeof(float));
    w->cos_sin = lcf_tape_alloc(tape, tokens * head_dim, sizeof(float));
    w->label_qkv = lcf_tape_alloc(tape, 2 * 3 * dim, sizeof(float));
    w->x = lcf_tape_alloc(tape, dim * w->ld, sizeof(float));
    w->normed = lcf_tape_alloc(tape, dim * w->ld, sizeof(float));
    w->qkv = lcf_tape_alloc(tape, 3 * dim * w->ld, sizeof(float));
    w->mixed = lcf_tape_alloc(tape, c->heads_n * dim * w->ld, sizeof(float));
    w->ffn_normed = lcf_tape_alloc(tape, dim * FFN_TOKENS * GROUP, sizeof(float));
    w->gate = lcf_tape_alloc(tape, c->ffn_hidden * FFN_TOKENS * GROUP, sizeof(float));
    w->up = lcf_tape_alloc(tape, c->ffn_hidden * FFN_TOKENS * GROUP, sizeof(float));
    w->weights = lcf_tape_alloc(tape, tokens * GROUP, sizeof(float));
    if (lcf_tape_status(tape))
        return false;
    for (size_t t = 0; t < tokens; t++)
        lcf_rope_angles(w->cos_sin + t * head_dim, head_dim, t, LCF_RANKER_ROPE_THETA);
    return true;
}

/* The first layer's projections of the two tokens that labels can be. */
static void project_labels(const infer *w)
{
    const size_t dim = dim_of(w);
    const float *table = lcf_params_value(&w->p->r->params, w->s->label_table);
    const float *in[GROUP];
    float *out[GROUP];

    for (size_t i = 0; i < GROUP; i++) {
        in[i] = table + i % 2 * dim;
        out[i] = w->label_qkv + i % 2 * 3 * dim;
    }
    lcf_columns_gather(w->x, w->ld, in, dim);
    lcf_columns_rmsnorm(w->normed, w->ld, w->x, w->ld, w->plan->layers[0].norm1, dim, GROUP,
                        LCF_RANKER_NORM_EPS);
    project(w, &w->plan->layers[0], 0, 3 * dim, 0, 1);
    lcf_columns_scatter(out, w->qkv, w->ld, 3 * dim);
}

/* Rows in the order of how many examples they have: begin[n] .. begin[n + 1] have n. */
static void order_rows(uint32_t *order, size_t *begin, const ranker_batch *b)
{
    const uint32_t *offsets = b->slot_offsets;

    for (size_t n = begin[0] = 0; n <= b->slots_n; n++) {
        begin[n + 1] = begin[n];
        for (size_t row = 0; row < b->rows_n; row++)
            if (offsets[(row + 1) * b->slots_n] - offsets[row * b->slots_n] == n)
                order[begin[n + 1]++] = (uint32_t)row;
    }
}

/* The states of `rows_n` rows, all of so many examples. */
static void decode_all(infer *w, float *out, const uint32_t *rows, size_t rows_n, size_t examples_n)
{
    uint32_t last[GROUP];

    for (size_t at = 0; at < rows_n; at += GROUP) {
        const size_t n = rows_n - at < GROUP ? rows_n - at : GROUP;

        w->next_rows = rows + at + n;
        w->next_n = rows_n - at - n < GROUP ? rows_n - at - n : GROUP;
        for (size_t i = 0; n < GROUP && i < GROUP; i++)
            last[i] = rows[at + (i < n ? i : n - 1)];
        decode(w, out, n < GROUP ? last : rows + at, examples_n);
    }
}

lcf_tensor *lcf_ict_infer(const ranker_pass *p, ranker_fields *f)
{
    const size_t n = p->batch->rows_n, slots_n = p->batch->slots_n;
    const size_t shape[2] = {n, p->r->config.dim};
    uint32_t *order = lcf_tape_alloc(p->tape, n, sizeof(*order));
    size_t *begin = lcf_tape_alloc(p->tape, slots_n + 2, sizeof(*begin));
    float *out = lcf_tape_alloc(p->tape, n * shape[1], sizeof(*out));
    infer w;
    bool ready = infer_init(&w, p, slots_n);

    w.run = lcf_tape_alloc(p->tape, n, sizeof(*w.run));
    w.user_parts = lcf_tape_alloc(p->tape, n * p->r->config.x_hidden, sizeof(float));
    if (ready && !lcf_tape_status(p->tape) && user_parts(&w, f)) {
        project_labels(&w);
        order_rows(order, begin, p->batch);
        for (size_t k = 0; k <= slots_n; k++)
            decode_all(&w, out, order + begin[k], begin[k + 1] - begin[k], k);
    }
    return lcf_tape_input(p->tape, out, shape, 2);
}

/* ---- examples that stand first ---- */

size_t lcf_ict_example_states_n(const lcf_ranker *r)
{
    return (r->config.layers_n - 1) * NODE * (size_t)r->config.dim;
}

/* GROUP examples, each a sequence of its own, through all layers but the last; the last of n may
 * stand repeatedly. */
static void run_examples(infer *w, float *out, const float *tokens, size_t n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, width = NODE * dim, states_n = lcf_ict_example_states_n(r);
    const float *in[GROUP];
    float *to[GROUP];

    for (size_t i = 0; i < GROUP; i++) {
        in[i] = tokens + (i < n ? i : n - 1) * width;
        to[i] = out + (i < n ? i : n - 1) * states_n;
    }
    w->tokens_n = NODE;
    w->first_n = 0;
    put_tokens(w, 0, in);
    for (size_t l = 0; l + 1 < r->config.layers_n; l++) {
        lcf_columns_rmsnorm(w->normed, w->ld, w->x, w->ld, w->plan->layers[l].norm1, dim,
                            NODE * GROUP, LCF_RANKER_NORM_EPS);
        project(w, &w->plan->layers[l], 0, 3 * dim, 0, NODE);
        finish_layer(w, &w->plan->layers[l]);
        for (size_t t = 0; t < NODE; t++) {
            lcf_columns_scatter(to, w->x + t * GROUP, w->ld, dim);
            for (size_t i = 0; i < GROUP; i++)
                to[i] += dim;
        }
    }
}

void lcf_ict_example_states(float *out, const ranker_pass *p, const float *tokens, size_t n)
{
    const size_t states_n = lcf_ict_example_states_n(p->r), width = NODE * (size_t)p->r->config.dim;
    infer w;

    if (!infer_init(&w, p, 1))
        return;
    for (size_t at = 0; at < n; at += GROUP)
        run_examples(&w, out + at * states_n, tokens + at * width, n - at < GROUP ? n - at : GROUP);
}
