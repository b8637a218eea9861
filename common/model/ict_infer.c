/*
 * The ICT module for inference: nothing is noted for a backward pass, and little is computed twice.
 *
 * Rows are visited in the order of their example lists. A causal decoder's states of an example
 * depend on the examples before it only, so rows whose lists begin alike share them: the lists of a
 * chunk form a tree, of which every node is computed once. The first of a list sees no other: what
 * its tokens become is a constant. In the last layer examples are keys and values alone, and values
 * are mapped only after they were summed.
 *
 * Invariant: within a chunk, the tokens of tree nodes without a parent come first, then those of
 * the others, both in depth-first order, three to a node, followed by the rows' own tokens; a walk
 * over the rows meets the nodes in that order.
 */
#include "common/model/ict.h"

#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/path_attention.h"

#include <string.h>

#define CHUNK 24 /* rows whose tokens are computed together: they stay in the cache */
#define NODE 3   /* tokens of an example, the last one its label */
#define FFN_ROWS 48
#define CACHE_LINE 16 /* floats */

/* The last layer's o after its v: of head h the columns [h dim, (h + 1) dim), since a head sums the
 * whole tokens and not its part of their values. */
static const float *pack_ov(ranker_packer *k, const ict_layer *l)
{
    const lcf_ranker *r = k->r;
    const size_t dim = r->config.dim, heads = r->config.heads_n, head_dim = dim / heads;
    const float *o = lcf_params_value(&r->params, l->o), *v = lcf_params_value(&r->params, l->v);
    float *ov = lcf_ranker_pack_take(k, dim * heads * dim);
    float *to = lcf_ranker_pack_take(k, lcf_packed_n(heads * dim, dim));

    if (!ov)
        return NULL;
    for (size_t row = 0; row < dim; row++)
        for (size_t h = 0; h < heads; h++)
            for (size_t col = 0; col < dim; col++) {
                double sum = 0;

                for (size_t i = h * head_dim; i < (h + 1) * head_dim; i++)
                    sum += (double)o[row * dim + i] * (double)v[i * dim + col];
                ov[(row * heads + h) * dim + col] = (float)sum;
            }
    lcf_pack(to, ov, heads * dim, 0, heads * dim, dim);
    return to;
}

void lcf_ict_pack(void *state, ranker_packer *k)
{
    const lcf_ranker *r = k->r;
    const size_t dim = r->config.dim, item = r->item_dim + dim, user = r->user_dim;
    const ict *s = r->side_state;
    const ict_layer *last = &s->layers[r->config.layers_n - 1];
    const size_t qk[] = {last->q, last->k};
    ict_plan *plan = state;

    plan->x_user = lcf_ranker_pack(k, &s->x.w[0], 1, 0, user);
    plan->x_item = lcf_ranker_pack(k, &s->x.w[0], 1, user, item);
    plan->x_history = lcf_ranker_pack(k, &s->x.w[0], 1, user + item, item);
    plan->x_out = lcf_ranker_pack(k, &s->x.w[1], 1, 0, r->config.x_hidden);
    for (size_t i = 0; i < r->config.layers_n; i++) {
        const ict_layer *l = &s->layers[i];
        const size_t qkv[] = {l->q, l->k, l->v};

        plan->layers[i] = (ict_plan_layer){
            .norm1 = lcf_params_value(&r->params, l->norm1),
            .norm2 = lcf_params_value(&r->params, l->norm2),
            .qkv = lcf_ranker_pack(k, qkv, 3, 0, dim),
            .kv = lcf_ranker_pack(k, qkv + 1, 2, 0, dim),
            .o = lcf_ranker_pack(k, &l->o, 1, 0, dim),
            .gate = lcf_ranker_pack(k, &l->gate, 1, 0, dim),
            .up = lcf_ranker_pack(k, &l->up, 1, 0, dim),
            .down = lcf_ranker_pack(k, &l->down, 1, 0, r->config.ffn_hidden),
        };
    }
    plan->last_k = lcf_ranker_pack(k, &last->k, 1, 0, dim);
    plan->last_qk = lcf_ranker_pack(k, qk, 2, 0, dim);
    plan->last_ov = pack_ov(k, last);
}

/* ---- rows in the order of their example lists ---- */

/* A row's examples, as indices into the source's. */
typedef struct example_list {
    uint64_t head; /* of the first two, for a quick comparison */
    const uint32_t *ids;
    uint32_t n, row;
} example_list;

static example_list list_of(const ranker_batch *b, size_t row)
{
    const uint32_t begin = b->slot_offsets[row * b->slots_n];
    example_list list = {0, b->slot_example + begin,
                         b->slot_offsets[(row + 1) * b->slots_n] - begin, (uint32_t)row};

    list.head = list.n > 0 ? ((uint64_t)list.ids[0] + 1) << 32 : 0;
    list.head |= list.n > 1 ? (uint64_t)list.ids[1] + 1 : 0;
    return list;
}

/* Examples that both lists begin with. */
static uint32_t common_n(const example_list *a, const example_list *b)
{
    const uint32_t n = a->n < b->n ? a->n : b->n;
    uint32_t i = 0;

    while (i < n && a->ids[i] == b->ids[i])
        i++;
    return i;
}

static bool list_before(const example_list *a, const example_list *b)
{
    uint32_t i;

    if (a->head != b->head)
        return a->head < b->head;
    i = common_n(a, b);
    if (i < a->n && i < b->n)
        return a->ids[i] < b->ids[i];
    return a->n < b->n;
}

/* Merge sort, stable; returns the one of the two arrays that holds the result. */
static example_list *sort_lists(example_list *from, example_list *to, size_t n)
{
    for (size_t width = 1; width < n; width *= 2) {
        example_list *swap = from;

        for (size_t low = 0; low < n; low += 2 * width) {
            const size_t middle = low + width < n ? low + width : n;
            const size_t high = middle + width < n ? middle + width : n;

            for (size_t i = low, j = middle, at = low; at < high; at++)
                to[at] = j == high || (i < middle && !list_before(&from[j], &from[i])) ? from[i++]
                                                                                       : from[j++];
        }
        from = to;
        to = swap;
    }
    return from;
}

/* ---- one pass ---- */

typedef struct infer {
    const ranker_pass *p;
    const ict *s;
    const ict_plan *plan;
    uint32_t *run;     /* [rows_n] runs of neighbours that share user and history */
    float *user_parts; /* [runs, x_hidden] */
    lcf_path path;
    float *fields;             /* [item_dim + dim] */
    float *hidden;             /* [CHUNK, x_hidden] */
    float *x, *normed, *mixed; /* [tokens of a chunk, dim]; mixed [heads_n * CHUNK, dim], too */
    float *qkv;                /* [tokens of a chunk, 3 dim] */
    float *gate, *up;          /* [FFN_ROWS, ffn_hidden] */
    float *label_qkv;          /* [2, 3 dim] of a label's token in the first layer */
    const example_list *rows;  /* the chunk */
    size_t rows_n;             /* of the chunk */
    size_t first_n, rest_n;    /* nodes without a parent, and the others */
    uint32_t *first;           /* [CHUNK] which examples the first are */
    uint8_t *label;            /* [nodes] */
    uint32_t shared[CHUNK];    /* examples that a row has in common with the one before */
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

/* The tokens of rows [0, n) of `lists`, from nine fields. */
static void own_tokens(const infer *w, float *out, const example_list *lists, size_t n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, hidden = r->config.x_hidden;
    const float *bias = lcf_params_value(&r->params, w->s->x.b[1]);

    for (size_t i = 0; i < n; i++) {
        const uint32_t row = lists[i].row;
        const float *user = w->user_parts + w->run[row] * hidden;
        const float *item = lcf_ranker_item_parts(w->p, row);
        float *restrict to = w->hidden + i * hidden;

        for (size_t j = 0; j < hidden; j++) {
            const float sum = user[j] + item[j];

            to[j] = sum > 0 ? sum : 0;
        }
    }
    lcf_packed_linear(out, dim, w->hidden, hidden, w->plan->x_out, bias, n, hidden, dim, 0);
}

/* ---- the decoder, a chunk of rows at a time ---- */

static void fetch(const float *from, size_t n)
{
    for (size_t at = 0; at < n; at += CACHE_LINE)
        __builtin_prefetch(from + at);
}

/* Asks the memory for the constants of the rows to come: they lie anywhere among all of them. */
static void fetch_chunk(const infer *w, const example_list *lists, size_t n)
{
    const ranker_frozen *f = &w->p->r->frozen;
    const size_t width = NODE * dim_of(w);

    for (size_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < lists[i].n; j++)
            fetch(f->example_tokens + width * lists[i].ids[j], width);
        if (lists[i].n)
            fetch(f->example_states + f->example_states_n * lists[i].ids[0], f->example_states_n);
        fetch(lcf_ranker_item_parts(w->p, lists[i].row), f->side_parts_n);
    }
}

/* The tokens of an example as node `node` of the chunk, and which label is among them. */
static void put_node(infer *w, size_t node, uint32_t example)
{
    const size_t dim = dim_of(w), width = NODE * dim;
    const float *tokens = w->p->r->frozen.example_tokens + width * example;
    const float *label = lcf_params_value(&w->p->r->params, w->s->label_table);

    memcpy(w->x + width * node, tokens, width * sizeof(*tokens));
    w->label[node] = memcmp(tokens + (NODE - 1) * dim, label, dim * sizeof(*label)) != 0;
}

/* Lays out a chunk: what each row shares with the one before, the tokens of new nodes, then the
 * rows' own. */
static void lay_out(infer *w, const example_list *lists, size_t n)
{
    size_t rest;

    w->rows = lists;
    w->rows_n = n;
    w->first_n = w->rest_n = 0;
    for (size_t i = 0; i < n; i++) {
        w->shared[i] = i ? common_n(&lists[i - 1], &lists[i]) : 0;
        if (!w->shared[i] && lists[i].n)
            w->first[w->first_n++] = lists[i].ids[0];
    }
    for (size_t i = 0; i < w->first_n; i++)
        put_node(w, i, w->first[i]);
    rest = w->first_n;
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = w->shared[i] ? w->shared[i] : 1; j < lists[i].n; j++)
            put_node(w, rest++, lists[i].ids[j]);
    w->rest_n = rest - w->first_n;
    own_tokens(w, w->x + NODE * rest * dim_of(w), lists, n);
}

/*
 * Attention of a layer along every row's path, into `mixed`, for all tokens but those of nodes
 * without a parent: their next states are known. Before that, queries, keys and values lie in qkv.
 */
static void walk(infer *w)
{
    const size_t dim = dim_of(w), ld = 3 * dim;
    const float *first = w->qkv, *rest = first + NODE * w->first_n * ld;
    const float *own = rest + NODE * w->rest_n * ld;
    float *out = w->mixed, *own_out = out + NODE * w->rest_n * dim;

    for (size_t i = 0; i < w->rows_n; i++, own += ld, own_out += dim) {
        const size_t end = NODE * w->rows[i].n;
        size_t at = NODE * w->shared[i], n;

        if (at == 0 && end > 0) {
            lcf_path_append(&w->path, 0, first + dim, ld, first + 2 * dim, ld, NODE);
            first += NODE * ld;
            at = NODE;
        }
        n = end - at;
        lcf_path_append(&w->path, at, rest + dim, ld, rest + 2 * dim, ld, n);
        lcf_path_attend(out, dim, &w->path, at, rest, ld, n);
        rest += n * ld;
        out += n * dim;
        lcf_path_append(&w->path, end, own + dim, ld, own + 2 * dim, ld, 1);
        lcf_path_attend(own_out, dim, &w->path, end, own, ld, 1);
    }
}

/* The same of the last layer: only the rows' own tokens attend, over normed tokens as they are,
 * each head into a row of its own. In qkv lie the nodes' keys, then queries and keys of the own. */
static void last_walk(infer *w)
{
    const size_t dim = dim_of(w), heads = w->p->r->config.heads_n;
    const size_t first_n = NODE * w->first_n * dim, rest_n = NODE * w->rest_n * dim;
    const float *first = w->qkv, *rest = first + first_n, *own = rest + rest_n;
    const float *first_x = w->normed, *rest_x = first_x + first_n, *own_x = rest_x + rest_n;

    for (size_t i = 0; i < w->rows_n; i++, own += 2 * dim, own_x += dim) {
        const size_t end = NODE * w->rows[i].n;
        size_t at = NODE * w->shared[i];

        if (at == 0 && end > 0) {
            lcf_path_append(&w->path, 0, first, dim, first_x, dim, NODE);
            first += NODE * dim;
            first_x += NODE * dim;
            at = NODE;
        }
        lcf_path_append(&w->path, at, rest, dim, rest_x, dim, end - at);
        rest += (end - at) * dim;
        rest_x += (end - at) * dim;
        lcf_path_append(&w->path, end, own + dim, 2 * dim, own_x, dim, 1);
        lcf_path_attend_whole(w->mixed + i * heads * dim, &w->path, end, own);
    }
}

/* x += down(silu(gate) * up), for n tokens. */
static void feed_forward(const infer *w, const ict_plan_layer *l, float *x, size_t n)
{
    const size_t dim = dim_of(w), ffn = w->p->r->config.ffn_hidden;

    for (size_t at = 0; at < n; at += FFN_ROWS, x += FFN_ROWS * dim) {
        const size_t rows = n - at < FFN_ROWS ? n - at : FFN_ROWS;

        lcf_rmsnorm(w->normed, x, l->norm2, rows, dim, LCF_RANKER_NORM_EPS);
        lcf_packed_linear(w->gate, ffn, w->normed, dim, l->gate, NULL, rows, dim, ffn, 0);
        lcf_packed_linear(w->up, ffn, w->normed, dim, l->up, NULL, rows, dim, ffn, 0);
        lcf_swiglu(w->gate, w->gate, w->up, rows * ffn);
        lcf_packed_linear(x, dim, w->gate, ffn, l->down, NULL, rows, ffn, dim, LCF_PACKED_ADD);
    }
}

/* x += o(mixed), then the feed-forward part, for n tokens. */
static void finish_layer(const infer *w, const ict_plan_layer *l, float *x, size_t n)
{
    const size_t dim = dim_of(w);

    lcf_packed_linear(x, dim, w->mixed, dim, l->o, NULL, n, dim, dim, LCF_PACKED_ADD);
    feed_forward(w, l, x, n);
}

/* Some columns of q, k, v, the last n of them, for n tokens in a row. */
static void project(const infer *w, const float *packed, size_t columns, size_t token, size_t n)
{
    const size_t dim = dim_of(w), skip = (3 - columns) * dim;

    lcf_packed_linear(w->qkv + token * 3 * dim + skip, 3 * dim, w->normed + token * dim, dim,
                      packed, NULL, n, dim, columns * dim, 0);
}

/* The same for nodes [node, node + n) in the first layer, where two tokens are all that labels
 * can be. */
static void project_nodes(const infer *w, const float *packed, size_t columns, size_t node,
                          size_t n)
{
    const size_t dim = dim_of(w), skip = (3 - columns) * dim, ld = NODE * 3 * dim;
    float *to = w->qkv + node * ld + skip;

    for (size_t t = 0; t + 1 < NODE; t++)
        lcf_packed_linear(to + t * 3 * dim, ld, w->normed + (node * NODE + t) * dim, NODE * dim,
                          packed, NULL, n, dim, columns * dim, 0);
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * ld + (NODE - 1) * 3 * dim,
               w->label_qkv + w->label[node + i] * 3 * dim + skip, columns * dim * sizeof(*to));
}

/* A layer of which every token is needed. */
static void layer(infer *w, size_t i)
{
    const ict_plan_layer *l = &w->plan->layers[i];
    const ranker_frozen *f = &w->p->r->frozen;
    const size_t width = NODE * dim_of(w), nodes = w->first_n + w->rest_n;
    const size_t rest = NODE * w->rest_n + w->rows_n;

    lcf_rmsnorm(w->normed, w->x, l->norm1, NODE * nodes + w->rows_n, dim_of(w),
                LCF_RANKER_NORM_EPS);
    if (i == 0) {
        project_nodes(w, l->kv, 2, 0, w->first_n);
        project_nodes(w, l->qkv, 3, w->first_n, w->rest_n);
        project(w, l->qkv, 3, NODE * nodes, w->rows_n);
    } else {
        project(w, l->kv, 2, 0, NODE * w->first_n);
        project(w, l->qkv, 3, NODE * w->first_n, rest);
    }
    walk(w);
    finish_layer(w, l, w->x + width * w->first_n, rest);
    for (size_t n = 0; n < w->first_n; n++)
        memcpy(w->x + width * n, f->example_states + f->example_states_n * w->first[n] + width * i,
               width * sizeof(*w->x));
}

/* The last layer: only the rows' own tokens leave it. */
static void last_layer(infer *w)
{
    const lcf_ranker_config *c = &w->p->r->config;
    const ict_plan_layer *l = &w->plan->layers[c->layers_n - 1];
    const size_t dim = c->dim, nodes = NODE * (w->first_n + w->rest_n);
    float *own = w->x + nodes * dim;

    lcf_rmsnorm(w->normed, w->x, l->norm1, nodes + w->rows_n, dim, LCF_RANKER_NORM_EPS);
    lcf_packed_linear(w->qkv, dim, w->normed, dim, w->plan->last_k, NULL, nodes, dim, dim, 0);
    lcf_packed_linear(w->qkv + nodes * dim, 2 * dim, w->normed + nodes * dim, dim, w->plan->last_qk,
                      NULL, w->rows_n, dim, 2 * dim, 0);
    last_walk(w);
    lcf_packed_linear(own, dim, w->mixed, c->heads_n * dim, w->plan->last_ov, NULL, w->rows_n,
                      c->heads_n * dim, dim, LCF_PACKED_ADD);
    feed_forward(w, l, own, w->rows_n);
}

static void decode_chunk(infer *w, float *out, const example_list *lists, size_t n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim;
    const float *own;

    lay_out(w, lists, n);
    for (size_t i = 0; i + 1 < r->config.layers_n; i++)
        layer(w, i);
    last_layer(w);
    own = w->x + NODE * (w->first_n + w->rest_n) * dim;
    for (size_t i = 0; i < n; i++)
        lcf_rmsnorm(out + lists[i].row * dim, own + i * dim,
                    lcf_params_value(&r->params, w->s->norm), 1, dim, LCF_RANKER_NORM_EPS);
}

/* Room for chunks of rows of up to slots_n examples. */
static bool infer_init(infer *w, const ranker_pass *p, size_t slots_n)
{
    const lcf_ranker_config *c = &p->r->config;
    const size_t dim = c->dim, tokens_max = NODE * slots_n + 1, n = CHUNK * tokens_max;
    const size_t mixed_n = tokens_max > c->heads_n ? n : CHUNK * (size_t)c->heads_n;
    lcf_tape *tape = p->tape;
    float *path = lcf_tape_alloc(tape, lcf_path_floats(c->heads_n, dim / c->heads_n, tokens_max),
                                 sizeof(float));

    *w = (infer){.p = p, .s = p->r->side_state, .plan = p->r->frozen.side_plan.state};
    w->fields = lcf_tape_alloc(tape, p->r->item_dim + dim, sizeof(float));
    w->hidden = lcf_tape_alloc(tape, CHUNK * c->x_hidden, sizeof(float));
    w->x = lcf_tape_alloc(tape, n * dim, sizeof(float));
    w->normed = lcf_tape_alloc(tape, n * dim, sizeof(float));
    w->mixed = lcf_tape_alloc(tape, mixed_n * dim, sizeof(float));
    w->qkv = lcf_tape_alloc(tape, n * 3 * dim, sizeof(float));
    w->gate = lcf_tape_alloc(tape, FFN_ROWS * c->ffn_hidden, sizeof(float));
    w->up = lcf_tape_alloc(tape, FFN_ROWS * c->ffn_hidden, sizeof(float));
    w->label_qkv = lcf_tape_alloc(tape, 2 * 3 * dim, sizeof(float));
    w->first = lcf_tape_alloc(tape, CHUNK, sizeof(*w->first));
    w->label = lcf_tape_alloc(tape, CHUNK * (slots_n + 1), sizeof(*w->label));
    if (lcf_tape_status(tape))
        return false;
    lcf_path_bind(&w->path, path, c->heads_n, dim / c->heads_n, tokens_max, LCF_RANKER_ROPE_THETA);
    lcf_rmsnorm(w->normed, lcf_params_value(&p->r->params, w->s->label_table),
                w->plan->layers[0].norm1, 2, dim, LCF_RANKER_NORM_EPS);
    lcf_packed_linear(w->label_qkv, 3 * dim, w->normed, dim, w->plan->layers[0].qkv, NULL, 2, dim,
                      3 * dim, 0);
    return true;
}

lcf_tensor *lcf_ict_infer(const ranker_pass *p, ranker_fields *f)
{
    const size_t n = p->batch->rows_n, shape[2] = {n, p->r->config.dim};
    example_list *lists = lcf_tape_alloc(p->tape, n, sizeof(*lists));
    example_list *spare = lcf_tape_alloc(p->tape, n, sizeof(*spare));
    float *out = lcf_tape_alloc(p->tape, n * shape[1], sizeof(*out));
    infer w;
    bool ready = infer_init(&w, p, p->batch->slots_n);

    w.run = lcf_tape_alloc(p->tape, n, sizeof(*w.run));
    w.user_parts = lcf_tape_alloc(p->tape, n * p->r->config.x_hidden, sizeof(float));
    if (ready && !lcf_tape_status(p->tape) && user_parts(&w, f)) {
        for (size_t i = 0; i < n; i++)
            lists[i] = list_of(p->batch, i);
        lists = sort_lists(lists, spare, n);
        fetch_chunk(&w, lists, n < CHUNK ? n : CHUNK);
        for (size_t at = 0, end; at < n; at = end) {
            end = n - at < CHUNK ? n : at + CHUNK;
            fetch_chunk(&w, lists + end, n - end < CHUNK ? n - end : CHUNK);
            decode_chunk(&w, out, lists + at, end - at);
        }
    }
    return lcf_tape_input(p->tape, out, shape, 2);
}

/* ---- examples that stand first ---- */

size_t lcf_ict_example_states_n(const lcf_ranker *r)
{
    return (r->config.layers_n - 1) * NODE * (size_t)r->config.dim;
}

/* Some examples, each a sequence of its own, through all layers but the last. */
static void run_examples(infer *w, float *out, const float *tokens, size_t n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, width = NODE * dim, states_n = lcf_ict_example_states_n(r);

    memcpy(w->x, tokens, n * width * sizeof(*tokens));
    for (size_t i = 0; i + 1 < r->config.layers_n; i++) {
        const ict_plan_layer *l = &w->plan->layers[i];

        lcf_rmsnorm(w->normed, w->x, l->norm1, NODE * n, dim, LCF_RANKER_NORM_EPS);
        project(w, l->qkv, 3, 0, NODE * n);
        for (size_t j = 0; j < n; j++) {
            const float *qkv = w->qkv + j * 3 * width;

            lcf_path_append(&w->path, 0, qkv + dim, 3 * dim, qkv + 2 * dim, 3 * dim, NODE);
            lcf_path_attend(w->mixed + j * width, dim, &w->path, 0, qkv, 3 * dim, NODE);
        }
        finish_layer(w, l, w->x, NODE * n);
        for (size_t j = 0; j < n; j++)
            memcpy(out + j * states_n + i * width, w->x + j * width, width * sizeof(*out));
    }
}

void lcf_ict_example_states(float *out, const ranker_pass *p, const float *tokens, size_t n)
{
    const size_t states_n = lcf_ict_example_states_n(p->r), width = NODE * (size_t)p->r->config.dim;
    infer w;

    if (!infer_init(&w, p, 1))
        return;
    for (size_t at = 0; at < n; at += CHUNK)
        run_examples(&w, out + at * states_n, tokens + at * width, n - at < CHUNK ? n - at : CHUNK);
}
