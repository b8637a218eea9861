/*
 * The ICT module for inference: nothing is noted for a backward pass, and little is computed twice.
 *
 * Rows are visited in the order of their example lists. A causal decoder's states of an example
 * depend on the examples before it only, so rows whose lists begin alike share them: the lists of a
 * chunk form a tree, of which every node is computed once. In the last layer examples are keys and
 * values; only the rows' own tokens go on.
 *
 * Invariant: within a chunk, the tokens of tree nodes stand in depth-first order, three to a node,
 * followed by the rows' own tokens; a walk over the rows meets the nodes in that order.
 */
#include "common/model/ict.h"

#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/path_attention.h"

#include <string.h>

#define CHUNK 24 /* rows whose tokens are computed together: they stay in the cache */
#define NODE 3   /* tokens of an example */
#define FFN_ROWS 48
#define CACHE_LINE 16 /* floats */

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
    const float *items; /* [items_n, item_dim] */
    uint32_t *run;      /* [rows_n] runs of neighbours that share user and history */
    float *user_parts;  /* [runs, x_hidden] */
    lcf_path path;
    float *fields, *hidden;    /* [CHUNK, item_dim + dim], [CHUNK, x_hidden] */
    float *x, *normed, *mixed; /* [tokens of a chunk, dim] */
    float *qkv;                /* [tokens of a chunk, 3 dim] */
    float *gate, *up;          /* [FFN_ROWS, ffn_hidden] */
    const example_list *rows;  /* the chunk */
    size_t rows_n, nodes_n;    /* of the chunk */
    uint32_t shared[CHUNK];    /* examples that a row has in common with the one before */
} infer;

/* ---- the rows' own tokens ---- */

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
    const ranker_batch *b = w->p->batch;
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, hidden = r->config.x_hidden, width = r->item_dim + dim;
    const float *bias = lcf_params_value(&r->params, w->s->x.b[1]);

    for (size_t i = 0; i < n; i++) {
        const uint32_t row = lists[i].row;
        float *fields = w->fields + i * width;

        memcpy(fields, w->items + b->item[row] * r->item_dim, r->item_dim * sizeof(*fields));
        memcpy(fields + r->item_dim, r->frozen.item_tokens + b->item_text[row] * dim,
               dim * sizeof(*fields));
        memcpy(w->hidden + i * hidden, w->user_parts + w->run[row] * hidden,
               hidden * sizeof(*fields));
    }
    lcf_packed_linear(w->hidden, hidden, w->fields, width, w->plan->x_item, NULL, n, width, hidden,
                      LCF_PACKED_ADD | LCF_PACKED_RELU);
    lcf_packed_linear(out, dim, w->hidden, hidden, w->plan->x_out, bias, n, hidden, dim, 0);
}

/* ---- the decoder, a chunk of rows at a time ---- */

/* Asks the memory for the tokens of the rows to come: they lie anywhere among all examples. */
static void fetch_tokens(const infer *w, const example_list *lists, size_t n)
{
    const size_t width = NODE * w->p->r->config.dim;

    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < lists[i].n; j++) {
            const float *tokens = w->p->r->frozen.example_tokens + width * lists[i].ids[j];

            for (size_t at = 0; at < width; at += CACHE_LINE)
                __builtin_prefetch(tokens + at);
        }
}

/* Lays out a chunk: what each row shares with the one before, the tokens of new nodes, then the
 * rows' own. */
static void lay_out(infer *w, const example_list *lists, size_t n)
{
    const size_t dim = w->p->r->config.dim, width = NODE * dim;

    w->rows = lists;
    w->rows_n = n;
    w->nodes_n = 0;
    for (size_t i = 0; i < n; i++) {
        w->shared[i] = i ? common_n(&lists[i - 1], &lists[i]) : 0;
        for (uint32_t j = w->shared[i]; j < lists[i].n; j++)
            memcpy(w->x + width * w->nodes_n++,
                   w->p->r->frozen.example_tokens + width * lists[i].ids[j], width * sizeof(*w->x));
    }
    own_tokens(w, w->x + width * w->nodes_n, lists, n);
}

/*
 * Attention of a layer along every row's path, into `mixed`.
 *
 * node     keys of the nodes' tokens, their values dim behind, their queries (where the nodes are
 *          to be attended for, too) dim before; ld floats between tokens
 * own      queries, keys and values of the rows' own tokens
 */
static void walk(infer *w, const float *node, size_t ld, bool nodes_too, const float *own)
{
    const size_t dim = w->p->r->config.dim;
    float *out = w->mixed, *own_out = w->mixed + (nodes_too ? NODE * w->nodes_n * dim : 0);

    for (size_t i = 0; i < w->rows_n; i++, own += 3 * dim, own_out += dim) {
        const size_t at = NODE * w->shared[i], end = NODE * w->rows[i].n, n = end - at;

        lcf_path_append(&w->path, at, node, node + dim, ld, n);
        if (nodes_too) {
            lcf_path_attend(out, dim, &w->path, at, node - dim, ld, n);
            out += n * dim;
        }
        node += n * ld;
        lcf_path_append(&w->path, end, own + dim, own + 2 * dim, 3 * dim, 1);
        lcf_path_attend(own_out, dim, &w->path, end, own, 3 * dim, 1);
    }
}

/* x += o(mixed), then x += down(silu(gate) * up), for n tokens. */
static void finish_layer(const infer *w, const ict_plan_layer *l, float *x, size_t n)
{
    const size_t dim = w->p->r->config.dim, ffn = w->p->r->config.ffn_hidden;

    lcf_packed_linear(x, dim, w->mixed, dim, l->o, NULL, n, dim, dim, LCF_PACKED_ADD);
    for (size_t at = 0; at < n; at += FFN_ROWS, x += FFN_ROWS * dim) {
        const size_t rows = n - at < FFN_ROWS ? n - at : FFN_ROWS;

        lcf_rmsnorm(w->normed, x, l->norm2, rows, dim, LCF_RANKER_NORM_EPS);
        lcf_packed_linear(w->gate, ffn, w->normed, dim, l->gate, NULL, rows, dim, ffn, 0);
        lcf_packed_linear(w->up, ffn, w->normed, dim, l->up, NULL, rows, dim, ffn, 0);
        lcf_swiglu(w->gate, w->gate, w->up, rows * ffn);
        lcf_packed_linear(x, dim, w->gate, ffn, l->down, NULL, rows, ffn, dim, LCF_PACKED_ADD);
    }
}

/* A layer of which every token is needed. */
static void layer(infer *w, const ict_plan_layer *l)
{
    const size_t dim = w->p->r->config.dim, nodes = NODE * w->nodes_n, n = nodes + w->rows_n;

    lcf_rmsnorm(w->normed, w->x, l->norm1, n, dim, LCF_RANKER_NORM_EPS);
    lcf_packed_linear(w->qkv, 3 * dim, w->normed, dim, l->qkv, NULL, n, dim, 3 * dim, 0);
    walk(w, w->qkv + dim, 3 * dim, true, w->qkv + nodes * 3 * dim);
    finish_layer(w, l, w->x, n);
}

/* The last layer: only the rows' own tokens leave it. */
static void last_layer(infer *w, const ict_plan_layer *l)
{
    const size_t dim = w->p->r->config.dim, nodes = NODE * w->nodes_n;
    float *own = w->x + nodes * dim, *own_qkv = w->qkv + nodes * 2 * dim;

    lcf_rmsnorm(w->normed, w->x, l->norm1, nodes + w->rows_n, dim, LCF_RANKER_NORM_EPS);
    lcf_packed_linear(w->qkv, 2 * dim, w->normed, dim, l->kv, NULL, nodes, dim, 2 * dim, 0);
    lcf_packed_linear(own_qkv, 3 * dim, w->normed + nodes * dim, dim, l->qkv, NULL, w->rows_n, dim,
                      3 * dim, 0);
    walk(w, w->qkv, 2 * dim, false, own_qkv);
    finish_layer(w, l, own, w->rows_n);
}

static void decode_chunk(infer *w, float *out, const example_list *lists, size_t n)
{
    const lcf_ranker *r = w->p->r;
    const size_t dim = r->config.dim, layers_n = r->config.layers_n;
    const float *own;

    lay_out(w, lists, n);
    for (size_t i = 0; i + 1 < layers_n; i++)
        layer(w, &w->plan->layers[i]);
    last_layer(w, &w->plan->layers[layers_n - 1]);
    own = w->x + NODE * w->nodes_n * dim;
    for (size_t i = 0; i < n; i++)
        lcf_rmsnorm(out + lists[i].row * dim, own + i * dim,
                    lcf_params_value(&r->params, w->s->norm), 1, dim, LCF_RANKER_NORM_EPS);
}

static bool infer_alloc(infer *w)
{
    const lcf_ranker_config *c = &w->p->r->config;
    const size_t dim = c->dim, tokens_max = NODE * w->p->batch->slots_n + 1;
    const size_t n = CHUNK * tokens_max, head_dim = dim / c->heads_n;
    lcf_tape *tape = w->p->tape;
    float *path = lcf_tape_alloc(tape, lcf_path_floats(c->heads_n, head_dim, tokens_max), 4);

    w->fields = lcf_tape_alloc(tape, CHUNK * (w->p->r->item_dim + dim), sizeof(float));
    w->hidden = lcf_tape_alloc(tape, CHUNK * c->x_hidden, sizeof(float));
    w->run = lcf_tape_alloc(tape, w->p->batch->rows_n, sizeof(*w->run));
    w->user_parts = lcf_tape_alloc(tape, w->p->batch->rows_n * c->x_hidden, sizeof(float));
    w->x = lcf_tape_alloc(tape, n * dim, sizeof(float));
    w->normed = lcf_tape_alloc(tape, n * dim, sizeof(float));
    w->mixed = lcf_tape_alloc(tape, n * dim, sizeof(float));
    w->qkv = lcf_tape_alloc(tape, n * 3 * dim, sizeof(float));
    w->gate = lcf_tape_alloc(tape, FFN_ROWS * c->ffn_hidden, sizeof(float));
    w->up = lcf_tape_alloc(tape, FFN_ROWS * c->ffn_hidden, sizeof(float));
    if (lcf_tape_status(tape))
        return false;
    lcf_path_bind(&w->path, path, c->heads_n, head_dim, tokens_max, LCF_RANKER_ROPE_THETA);
    return true;
}

lcf_tensor *lcf_ict_infer(const ranker_pass *p, ranker_fields *f)
{
    const size_t n = p->batch->rows_n, shape[2] = {n, p->r->config.dim};
    example_list *lists = lcf_tape_alloc(p->tape, n, sizeof(*lists));
    example_list *spare = lcf_tape_alloc(p->tape, n, sizeof(*spare));
    float *out = lcf_tape_alloc(p->tape, n * shape[1], sizeof(*out));
    infer w = {.p = p, .s = p->r->side_state};

    w.plan = p->r->frozen.side_plan.state;
    w.items = f->items->data;
    if (infer_alloc(&w) && user_parts(&w, f)) {
        for (size_t i = 0; i < n; i++)
            lists[i] = list_of(p->batch, i);
        lists = sort_lists(lists, spare, n);
        fetch_tokens(&w, lists, n < CHUNK ? n : CHUNK);
        for (size_t at = 0, end; at < n; at = end) {
            end = n - at < CHUNK ? n : at + CHUNK;
            fetch_tokens(&w, lists + end, n - end < CHUNK ? n - end : CHUNK);
            decode_chunk(&w, out, lists + at, end - at);
        }
    }
    return lcf_tape_input(p->tape, out, shape, 2);
}
