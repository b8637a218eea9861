/*
 * The ICT module: every example becomes three tokens (decision, CoT, label), the row itself becomes
 * the last one, and a small causal decoder reads them. Its two ablations: without the CoT token
 * (and so without reconstruction), and with the mean of the tokens in place of the decoder (whose
 * tokens have read nothing, so that there is nothing to reconstruct from).
 *
 * A row with m examples is a sequence of 3 m + 1 tokens, 2 m + 1 without CoT. Rows of a batch are
 * padded on the left to the longest; no token sees padding, and RoPE depends on distances only, so
 * that a row's result is that of its own short sequence.
 *
 * source   llm-cf.md section 5
 */
#include "common/model/ict.h"
#include "common/model/knrm.h"

#include "common/math/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LABEL_SCALE 0.1f

/* ---- parameters ---- */

static lcf_status declare_layer(lcf_ranker *r, size_t layer, lcf_err *err)
{
    const size_t dim = r->config.dim, ffn = r->config.ffn_hidden;
    ict_layer *l = &((ict *)r->side_state)->layers[layer];
    const struct {
        const char *name;
        size_t *idx, out, in; /* in = 0: a norm */
    } parts[] = {
        {"norm1", &l->norm1, dim, 0}, {"q", &l->q, dim, dim},   {"k", &l->k, dim, dim},
        {"v", &l->v, dim, dim},       {"o", &l->o, dim, dim},   {"norm2", &l->norm2, dim, 0},
        {"gate", &l->gate, ffn, dim}, {"up", &l->up, ffn, dim}, {"down", &l->down, dim, ffn},
    };
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !status; i++) {
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "layer.%zu.%s.w", layer, parts[i].name);
        if (parts[i].in)
            status = lcf_ranker_add_matrix(parts[i].idx, r, name, parts[i].out, parts[i].in,
                                           parts[i].in, err);
        else
            status =
                lcf_ranker_add(parts[i].idx, r, name, parts[i].out, 0, LCF_INIT_ONE, 0.0f, err);
    }
    return status;
}

static lcf_status declare_decoder(lcf_ranker *r, lcf_err *err)
{
    ict *s = r->side_state;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->config.layers_n && !status; i++)
        status = declare_layer(r, i, err);
    if (!status)
        status = lcf_ranker_add(&s->norm, r, "norm.w", r->config.dim, 0, LCF_INIT_ONE, 0.0f, err);
    return status;
}

static lcf_status declare_parts(lcf_ranker *r, bool cot, bool decoder, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const size_t text[] = {c->text_dim, c->text_hidden, c->dim};
    const size_t x[] = {r->user_dim + 2 * r->item_dim + 2 * (size_t)c->dim, c->x_hidden, c->dim};
    const size_t rec[] = {c->dim, c->text_hidden, c->cot_dim};
    ict *s = r->side_state;
    lcf_status status = lcf_ranker_add_mlp(&s->text, r, "text", 0, text, 2, err);

    s->cot = cot;
    s->decoder = decoder;

    if (!status)
        status = lcf_ranker_add_mlp(&s->x, r, "x", 0, x, 2, err);
    if (!status)
        status = lcf_ranker_add(&s->label_table, r, "label.table", 2, c->dim, LCF_INIT_NORMAL,
                                LABEL_SCALE, err);
    if (!status && decoder)
        status = declare_decoder(r, err);
    if (!status && cot && decoder)
        status = lcf_ranker_add_mlp(&s->rec, r, "rec", 0, rec, 2, err);
    return status;
}

static lcf_status declare(lcf_ranker *r, lcf_err *err)
{
    return declare_parts(r, true, true, err);
}

static lcf_status declare_nocot(lcf_ranker *r, lcf_err *err)
{
    return declare_parts(r, false, true, err);
}

static lcf_status declare_mean(lcf_ranker *r, lcf_err *err)
{
    return declare_parts(r, true, false, err);
}

/* ---- tokens ---- */

static const ict *state_of(const ranker_pass *p)
{
    return p->r->side_state;
}

lcf_tensor *lcf_ict_text_tokens(const ranker_pass *p, const float *vectors, size_t n)
{
    const size_t dims[2] = {n, p->r->config.text_dim};

    return lcf_ranker_mlp_forward(p, &state_of(p)->text, lcf_tape_input(p->tape, vectors, dims, 2));
}

/* What item_text points into: frozen tokens, or those of the batch's texts. */
static lcf_tensor *item_texts(const ranker_pass *p, lcf_tensor *texts)
{
    const size_t dims[2] = {p->source->catalogue->items_n, p->r->config.dim};

    return p->batch->frozen ? lcf_tape_input(p->tape, p->r->frozen.item_tokens, dims, 2) : texts;
}

/* Decision tokens x of rows and examples, from nine fields -> [decisions_n, dim]. */
static lcf_tensor *decisions(const ranker_pass *p, ranker_fields *f, lcf_tensor *texts)
{
    const ranker_batch *b = p->batch;
    const lcf_lookup fields[] = {{lcf_ranker_users(p, b->decisions_n), NULL, NULL},
                                 {f->items, b->item, NULL},
                                 {item_texts(p, texts), b->item_text, NULL},
                                 {lcf_ranker_history_means(p, f), b->history, NULL},
                                 {texts, b->history_text, NULL}};

    return lcf_ranker_mlp_forward(p, &state_of(p)->x,
                                  lcf_op_lookup(p->tape, fields, 5, b->decisions_n));
}

/* Decision, CoT and label tokens of the batch's examples [examples_n, tokens_n * dim]. */
static lcf_tensor *triples(const ranker_pass *p, lcf_tensor *x, lcf_tensor *texts)
{
    const ranker_batch *b = p->batch;
    lcf_lookup parts[3];
    size_t n = 0;

    parts[n++] = (lcf_lookup){lcf_ranker_rows(p, x, b->rows_n, b->examples_n), NULL, NULL};
    if (state_of(p)->cot)
        parts[n++] = (lcf_lookup){texts, b->cot_text, NULL};
    parts[n++] = (lcf_lookup){lcf_ranker_param(p, state_of(p)->label_table), b->label, NULL};
    return lcf_op_lookup(p->tape, parts, n, b->examples_n);
}

/* Tokens of the batch's texts; those of CoTs, which come last, where they are read. */
static lcf_tensor *batch_texts(const ranker_pass *p)
{
    const ranker_batch *b = p->batch;

    return lcf_ict_text_tokens(p, b->texts, b->texts_n - (state_of(p)->cot ? 0 : b->examples_n));
}

static lcf_tensor *example_tokens(const ranker_pass *p, ranker_fields *f)
{
    lcf_tensor *texts = batch_texts(p);

    return triples(p, decisions(p, f, texts), texts);
}

/* Of every row's example in one slot, its row of `table`: `first` + ids[example], or + the example
 * itself. Nothing where the slot is empty. */
static lcf_lookup of_slot(const ranker_pass *p, size_t slot, lcf_tensor *table, const uint32_t *ids,
                          size_t first)
{
    const ranker_batch *b = p->batch;
    const bool full = b->present_n == b->rows_n * b->slots_n;
    uint32_t *rows = lcf_tape_alloc(p->tape, b->rows_n, sizeof(*rows)), at = 0;
    uint32_t *offsets = full ? NULL : lcf_tape_alloc(p->tape, b->rows_n + 1, sizeof(*offsets));

    if (lcf_tape_status(p->tape))
        return (lcf_lookup){table, NULL, NULL};
    if (offsets)
        offsets[0] = 0;
    for (size_t row = 0; row < b->rows_n; row++) {
        const uint32_t *place = b->slot_offsets + row * b->slots_n + slot;

        if (place[0] < place[1]) {
            const uint32_t example = b->slot_example[place[0]];

            rows[at++] = (uint32_t)first + (ids ? ids[example] : example);
        }
        if (offsets)
            offsets[row + 1] = at;
    }
    return (lcf_lookup){table, rows, offsets};
}

/* The token sequences [rows_n, tokens_n * slots + 1, dim]; empty slots are zeros. */
static lcf_tensor *sequences(const ranker_pass *p, lcf_tensor *x, lcf_tensor *texts)
{
    const ranker_batch *b = p->batch;
    const size_t dim = p->r->config.dim, per_slot = p->r->side->tokens_n;
    const size_t by_token[3] = {b->rows_n, b->slots_n * per_slot + 1, dim};
    const size_t frozen[2] = {p->source->examples->n, per_slot * dim};
    lcf_lookup parts[LCF_EXAMPLES_K_MAX * LCF_RANKER_EXAMPLE_TOKENS_MAX + 1];
    lcf_tensor *tokens = NULL, *labels = NULL;
    size_t n = 0;

    if (b->frozen)
        tokens = lcf_tape_input(p->tape, p->r->frozen.example_tokens, frozen, 2);
    else
        labels = lcf_ranker_param(p, state_of(p)->label_table);
    for (size_t slot = 0; slot < b->slots_n; slot++) {
        if (b->frozen) {
            parts[n++] = of_slot(p, slot, tokens, NULL, 0);
            continue;
        }
        parts[n++] = of_slot(p, slot, x, NULL, b->rows_n);
        if (state_of(p)->cot)
            parts[n++] = of_slot(p, slot, texts, b->cot_text, 0);
        parts[n++] = of_slot(p, slot, labels, b->label, 0);
    }
    parts[n++] = (lcf_lookup){x, NULL, NULL};
    return lcf_op_reshape(p->tape, lcf_op_lookup(p->tape, parts, n, b->rows_n), by_token, 3);
}

/* ---- decoder ---- */

/* Heads of n W: [rows, tokens, heads, head dim]. */
static lcf_tensor *heads_of(const ranker_pass *p, lcf_tensor *n, size_t w)
{
    const size_t heads = p->r->config.heads_n;
    const size_t dims[4] = {n->dims[0], n->dims[1], heads, p->r->config.dim / heads};

    return lcf_op_reshape(p->tape, lcf_op_linear(p->tape, n, lcf_ranker_param(p, w), NULL), dims,
                          4);
}

/* The same, turned by each token's position: queries and keys. */
static lcf_tensor *turned_heads(const ranker_pass *p, lcf_tensor *n, size_t w)
{
    return lcf_op_rope(p->tape, heads_of(p, n, w), NULL, LCF_RANKER_ROPE_THETA);
}

static lcf_tensor *normed(const ranker_pass *p, lcf_tensor *t, size_t w)
{
    return lcf_op_rmsnorm(p->tape, t, lcf_ranker_param(p, w), LCF_RANKER_NORM_EPS);
}

/* Matrices of the same input, one below the other. */
static lcf_tensor *stacked(const ranker_pass *p, const size_t *w, size_t n)
{
    lcf_tensor *parts[3];

    for (size_t i = 0; i < n; i++)
        parts[i] = lcf_ranker_param(p, w[i]);
    return lcf_op_stack(p->tape, parts, n);
}

/* Self-attention of one layer: t [rows, tokens, dim] -> the same shape, before the output map. */
static lcf_tensor *attention(const ranker_pass *p, const ict_layer *l, lcf_tensor *t)
{
    const size_t maps[] = {l->q, l->k, l->v};
    lcf_tensor *qkv = lcf_op_linear(p->tape, normed(p, t, l->norm1), stacked(p, maps, 3), NULL);

    return lcf_op_short_attention(p->tape, NULL, qkv, p->r->config.heads_n, t->dims[1], 1,
                                  p->batch->padding, LCF_RANKER_ROPE_THETA);
}

/* What a layer makes of tokens t and their attention a. */
static lcf_tensor *finish_layer(const ranker_pass *p, const ict_layer *l, lcf_tensor *t,
                                lcf_tensor *a)
{
    const size_t maps[] = {l->gate, l->up};
    lcf_tensor *hidden;

    t = lcf_op_linear_onto(p->tape, t, a, lcf_ranker_param(p, l->o));
    hidden = lcf_op_linear(p->tape, normed(p, t, l->norm2), stacked(p, maps, 2), NULL);
    return lcf_op_linear_onto(p->tape, t, lcf_op_swiglu(p->tape, hidden),
                              lcf_ranker_param(p, l->down));
}

static const ict_layer *last_layer(const ranker_pass *p)
{
    return &state_of(p)->layers[p->r->config.layers_n - 1];
}

/* All tokens, as they enter the last layer. */
static lcf_tensor *before_last_layer(const ranker_pass *p, lcf_tensor *t)
{
    for (const ict_layer *l = state_of(p)->layers; l < last_layer(p); l++)
        t = finish_layer(p, l, t, attention(p, l, t));
    return t;
}

/* Which tokens' states are wanted, all other tokens being left behind in the last attention: the
 * last of each row, and with the decisions of its examples. In the batch's order of b->wanted. */
typedef struct ict_wanted {
    size_t n, queries, step; /* tokens; queries of a sequence and how far they are apart */
    const uint32_t *tokens;  /* [n] of all tokens */
    uint32_t *places;        /* [n] of all queries */
    uint32_t *asked;         /* [rows * queries] tokens of the queries */
} ict_wanted;

static ict_wanted wanted_of(const ranker_pass *p, size_t tokens, bool decisions)
{
    const ranker_batch *b = p->batch;
    const size_t skip = decisions ? 0 : b->present_n, per_slot = p->r->side->tokens_n;
    ict_wanted w = {.n = b->present_n - skip + b->rows_n,
                    .step = decisions ? per_slot : tokens,
                    .queries = decisions ? b->slots_n + 1 : 1,
                    .tokens = b->wanted + skip};

    w.places = lcf_tape_alloc(p->tape, w.n, sizeof(*w.places));
    w.asked = lcf_tape_alloc(p->tape, b->rows_n * w.queries, sizeof(*w.asked));
    if (lcf_tape_status(p->tape))
        return w;
    for (size_t i = 0; i < w.n; i++)
        w.places[i] = (uint32_t)(w.tokens[i] / tokens * w.queries +
                                 (decisions ? w.tokens[i] % tokens / per_slot : 0));
    for (size_t i = 0; i < b->rows_n * w.queries; i++)
        w.asked[i] = (uint32_t)(i / w.queries * tokens + tokens - 1 -
                                (w.queries - 1 - i % w.queries) * w.step);
    return w;
}

/* The attention of the last layer, of the tokens wanted alone [w->n, dim]. */
static lcf_tensor *wanted_attention(const ranker_pass *p, lcf_tensor *t, const ict_wanted *w)
{
    const ict_layer *l = last_layer(p);
    const size_t tokens = t->dims[1], rows = t->dims[0], maps[] = {l->k, l->v};
    const size_t flat[2] = {rows * tokens, t->dims[2]};
    const size_t by_query[2] = {rows * w->queries, t->dims[2]};
    lcf_tensor *n = lcf_op_reshape(p->tape, normed(p, t, l->norm1), flat, 2);
    lcf_tensor *kv = lcf_op_linear(p->tape, n, stacked(p, maps, 2), NULL);
    lcf_tensor *q = lcf_op_gather(p->tape, n, w->asked, by_query[0]), *a;

    q = lcf_op_linear(p->tape, q, lcf_ranker_param(p, l->q), NULL);
    a = lcf_op_short_attention(p->tape, q, kv, p->r->config.heads_n, tokens, w->step,
                               p->batch->padding, LCF_RANKER_ROPE_THETA);
    return lcf_op_gather(p->tape, lcf_op_reshape(p->tape, a, by_query, 2), w->places, w->n);
}

/* Hidden states, after the final norm, of each row's last token, those of its examples' decisions
 * before them when they are asked for. */
static lcf_tensor *decode(const ranker_pass *p, lcf_tensor *t, bool decisions)
{
    const ict_wanted w = wanted_of(p, t->dims[1], decisions);
    const size_t flat[2] = {t->dims[0] * t->dims[1], t->dims[2]};
    lcf_tensor *a;

    t = before_last_layer(p, t);
    a = wanted_attention(p, t, &w);
    t = lcf_op_gather(p->tape, lcf_op_reshape(p->tape, t, flat, 2), w.tokens, w.n);
    return normed(p, finish_layer(p, last_layer(p), t, a), state_of(p)->norm);
}

/* Adds to out [tokens] what one head of a row's last token gives to each of its tokens from `first`
 * on: the softmax of q k / sqrt(head dim). */
static void add_head(float *out, const float *q, const float *k, size_t ld, size_t head_dim,
                     size_t first, size_t tokens)
{
    float weights[LCF_EXAMPLES_K_MAX * LCF_RANKER_EXAMPLE_TOKENS_MAX + 1];

    for (size_t t = first; t < tokens; t++) {
        float product = 0;

        for (size_t i = 0; i < head_dim; i++)
            product += q[i] * k[t * ld + i];
        weights[t] = product / sqrtf((float)head_dim);
    }
    lcf_softmax(weights + first, 1, tokens - first);
    for (size_t t = first; t < tokens; t++)
        out[t] += weights[t];
}

/* The attention of each row's own token over its sequence in the last layer, the mean of the heads
 * [rows_n, tokens]; 0 for empty slots. Not for gradients. */
static lcf_tensor *last_attention(const ranker_pass *p, ranker_fields *f)
{
    const size_t heads = p->r->config.heads_n, dim = p->r->config.dim, head_dim = dim / heads;
    const ranker_batch *b = p->batch;
    lcf_tensor *texts = batch_texts(p);
    lcf_tensor *t = before_last_layer(p, sequences(p, decisions(p, f, texts), texts));
    lcf_tensor *n = normed(p, t, last_layer(p)->norm1);
    lcf_tensor *q = turned_heads(p, n, last_layer(p)->q), *k = turned_heads(p, n, last_layer(p)->k);
    const size_t tokens = p->r->side->tokens_n * b->slots_n + 1, shape[2] = {b->rows_n, tokens};
    float *out = lcf_tape_alloc(p->tape, b->rows_n * tokens, sizeof(*out));

    if (lcf_tape_status(p->tape))
        return NULL;
    memset(out, 0, b->rows_n * tokens * sizeof(*out));
    for (size_t row = 0; row < b->rows_n; row++) {
        const uint32_t *slots = b->slot_offsets + row * b->slots_n;
        const size_t used = p->r->side->tokens_n * (slots[b->slots_n] - slots[0]) + 1;
        const size_t at = row * tokens * dim, last = at + (tokens - 1) * dim;

        for (size_t h = 0; h < heads; h++)
            add_head(out + row * tokens, q->data + last + h * head_dim, k->data + at + h * head_dim,
                     dim, head_dim, tokens - used, tokens);
        for (size_t i = 0; i < tokens; i++)
            out[row * tokens + i] /= (float)heads;
    }
    return lcf_tape_input(p->tape, out, shape, 2);
}

/* Mean over the slots in use of 1 - cos(reconstruction, the example's CoT vector). */
static lcf_tensor *reconstruction_loss(const ranker_pass *p, lcf_tensor *hidden)
{
    const ranker_batch *b = p->batch;
    const size_t dim = p->r->config.cot_dim;
    float *target = lcf_tape_alloc(p->tape, b->present_n * dim, sizeof(float));
    lcf_tensor *x =
        lcf_ranker_mlp_forward(p, &state_of(p)->rec, lcf_ranker_rows(p, hidden, 0, b->present_n));

    for (size_t i = 0; target && i < b->present_n; i++)
        memcpy(target + i * dim,
               p->source->examples->cot_vec + b->example[b->slot_example[i]] * dim,
               dim * sizeof(float));
    return lcf_op_cosine_loss(p->tape, x, target, NULL, (float)b->present_n);
}

/* The hidden state of the last token [rows_n, dim]. */
static lcf_tensor *forward(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss)
{
    const ranker_batch *b = p->batch;
    const bool rec = want_loss && state_of(p)->cot && b->present_n && p->r->config.rec_weight > 0;
    lcf_tensor *texts = batch_texts(p);
    lcf_tensor *t = sequences(p, decisions(p, f, texts), texts);
    lcf_tensor *hidden = decode(p, t, rec);

    if (!rec)
        return hidden;
    *loss = reconstruction_loss(p, hidden);
    return lcf_ranker_rows(p, hidden, b->present_n, b->rows_n);
}

/* The mean of a row's own tokens [rows_n, dim]. */
static lcf_tensor *forward_mean(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                                bool want_loss)
{
    const ranker_batch *b = p->batch;
    const size_t per_slot = p->r->side->tokens_n, tokens = per_slot * b->slots_n + 1;
    uint32_t *ids = lcf_tape_alloc(p->tape, b->rows_n * tokens, sizeof(*ids));
    uint32_t *offsets = lcf_tape_alloc(p->tape, b->rows_n + 1, sizeof(*offsets));
    const size_t flat[2] = {b->rows_n * tokens, p->r->config.dim};
    lcf_tensor *texts = batch_texts(p);
    lcf_tensor *t = lcf_op_reshape(p->tape, sequences(p, decisions(p, f, texts), texts), flat, 2);
    uint32_t at = 0;

    (void)loss;
    (void)want_loss;
    for (size_t row = 0; ids && offsets && row < b->rows_n; row++) {
        const uint32_t *slots = b->slot_offsets + row * b->slots_n;
        const size_t used = per_slot * (slots[b->slots_n] - slots[0]) + 1;

        offsets[row] = at;
        for (size_t i = tokens - used; i < tokens; i++)
            ids[at++] = (uint32_t)(row * tokens + i);
        offsets[row + 1] = at;
    }
    return lcf_op_gather_mean(p->tape, t, ids, offsets, b->rows_n);
}

const ranker_side LCF_SIDE_ICT = {
    .kind = {"ict", "ICT: a decoder reads examples, their chains of thought and their labels"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES,
    .vectors_n = 1,
    .tokens_n = 3,
    .state_bytes = sizeof(ict),
    .declare = declare,
    .forward = forward,
    .text_tokens = lcf_ict_text_tokens,
    .example_tokens = example_tokens,
    .attention = last_attention,
    .fast = {.state_bytes = sizeof(ict_plan),
             .pack = lcf_ict_pack,
             .infer = lcf_ict_infer,
             .item_parts_n = lcf_ict_item_parts_n,
             .item_parts = lcf_ict_item_parts,
             .example_states_n = lcf_ict_example_states_n,
             .example_states = lcf_ict_example_states},
};

const ranker_side LCF_SIDE_ICT_NOCOT = {
    .kind = {"ict-nocot", "ICT without the chains of thought"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES,
    .vectors_n = 1,
    .tokens_n = 2,
    .state_bytes = sizeof(ict),
    .declare = declare_nocot,
    .forward = forward,
    .text_tokens = lcf_ict_text_tokens,
    .example_tokens = example_tokens,
    .attention = last_attention,
};

const ranker_side LCF_SIDE_ICT_MEAN = {
    .kind = {"ict-mean", "ICT with the mean of the tokens in place of the decoder"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES,
    .vectors_n = 1,
    .tokens_n = 3,
    .state_bytes = sizeof(ict),
    .declare = declare_mean,
    .forward = forward_mean,
    .text_tokens = lcf_ict_text_tokens,
    .example_tokens = example_tokens,
};

/* ---- ICT and the text match side by side ---- */

typedef struct ict_knrm {
    ict ict; /* first: what reads r->side_state as ICT's finds it */
    knrm match;
} ict_knrm;

static const knrm *match_of(const ranker_pass *p)
{
    return &((const ict_knrm *)p->r->side_state)->match;
}

static lcf_status declare_with_match(lcf_ranker *r, lcf_err *err)
{
    lcf_status status = declare_parts(r, true, true, err);

    return status ? status : lcf_knrm_declare(&((ict_knrm *)r->side_state)->match, r, err);
}

static lcf_tensor *forward_with_match(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                                      bool want_loss)
{
    lcf_tensor *parts[2] = {forward(loss, p, f, want_loss), lcf_knrm_vectors(p, match_of(p))};

    return lcf_op_concat(p->tape, parts, 2);
}

static lcf_tensor *infer_with_match(const ranker_pass *p, ranker_fields *f)
{
    lcf_tensor *parts[2] = {lcf_ict_infer(p, f), lcf_knrm_vectors(p, match_of(p))};

    return lcf_op_concat(p->tape, parts, 2);
}

const ranker_side LCF_SIDE_ICT_KNRM = {
    .kind = {"ict-knrm", "ICT, and beside it the text of the target with each of the history's"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_EXAMPLES,
    .vectors_n = 2,
    .tokens_n = 3,
    .state_bytes = sizeof(ict_knrm),
    .declare = declare_with_match,
    .forward = forward_with_match,
    .text_tokens = lcf_ict_text_tokens,
    .example_tokens = example_tokens,
    .attention = last_attention,
    .fast = {.state_bytes = sizeof(ict_plan),
             .pack = lcf_ict_pack,
             .infer = infer_with_match,
             .item_parts_n = lcf_ict_item_parts_n,
             .item_parts = lcf_ict_item_parts,
             .example_states_n = lcf_ict_example_states_n,
             .example_states = lcf_ict_example_states},
};
