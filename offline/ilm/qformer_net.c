/*
 * The Q-Former's forward pass on a tape: both branches, the three masks, the heads.
 *
 * Queries and text are two tensors throughout, of rows by item: what they share (self-attention,
 * its weights) sees both, what they do not (feed-forward, cross-attention) needs no gathering.
 */
#include "common/base/mem.h"
#include "offline/ilm/qformer_internal.h"

typedef struct pass {
    const lcf_qformer_pass *p;
    size_t n;
    lcf_tensor *item; /* [n, item_dim]; NULL without queries */
    lcf_qformer_mask mask;
    const uint32_t *query_offsets, *item_offsets, *text_offsets; /* [n + 1] */
} pass;

static lcf_tensor *param(const lcf_qformer_pass *p, size_t idx)
{
    return lcf_tape_param(p->tape, &p->m->params, p->grads, idx);
}

static lcf_tensor *linear(const lcf_qformer_pass *p, lcf_tensor *x, qformer_pair at)
{
    return lcf_op_linear(p->tape, x, param(p, at.w), param(p, at.b));
}

static lcf_tensor *norm(const lcf_qformer_pass *p, lcf_tensor *x, qformer_pair at)
{
    return lcf_op_layernorm(p->tape, x, param(p, at.w), param(p, at.b), QFORMER_EPS);
}

static lcf_tensor *dropout(const lcf_qformer_pass *p, lcf_tensor *x)
{
    return lcf_op_dropout(p->tape, x, p->m->config.dropout, p->rng);
}

/* x plus a projection of `from`, normalised: how every part of a layer ends. */
static lcf_tensor *residual(const lcf_qformer_pass *p, lcf_tensor *x, lcf_tensor *from,
                            qformer_pair out, qformer_pair norm_at)
{
    return norm(p, lcf_op_add(p->tape, dropout(p, linear(p, from, out)), x), norm_at);
}

static lcf_tensor *feed_forward(const lcf_qformer_pass *p, lcf_tensor *x,
                                const qformer_feed_forward *f)
{
    lcf_tensor *up = lcf_op_gelu(p->tape, linear(p, x, f->up));

    return residual(p, x, up, f->down, f->norm);
}

/* Keys and values of rows whose queries, keys and values stand side by side. */
static lcf_attend_keys own_keys(const pass *a, lcf_tensor *qkv, const uint32_t *offsets)
{
    const size_t dim = a->p->m->config.hidden;

    return (lcf_attend_keys){qkv, dim, 2 * dim, offsets};
}

/* Self-attention of both branches under the mask. */
static void self_attention(lcf_qformer_out *x, const pass *a, const qformer_layer *l)
{
    const lcf_qformer_pass *p = a->p;
    const size_t dim = p->m->config.hidden, heads = p->m->config.heads;
    const bool causal = a->mask == LCF_QFORMER_UNILM;
    lcf_tensor *query = x->queries ? linear(p, x->queries, l->self_qkv) : NULL;
    lcf_tensor *text = x->text ? linear(p, x->text, l->self_qkv) : NULL;
    const lcf_attend_keys both[2] = {own_keys(a, query, a->query_offsets),
                                     own_keys(a, text, a->text_offsets)};

    if (query) {
        const size_t seen = a->mask == LCF_QFORMER_BIDIRECTIONAL ? 2 : 1;
        lcf_tensor *y =
            lcf_op_attend(p->tape, query, dim, heads, a->query_offsets, a->n, both, seen, false);

        x->queries = residual(p, x->queries, y, l->self_out, l->self_norm);
    }
    if (text) {
        const size_t first = a->mask == LCF_QFORMER_SEPARATE ? 1 : 0;
        lcf_tensor *y = lcf_op_attend(p->tape, text, dim, heads, a->text_offsets, a->n,
                                      both + first, 2 - first, causal);

        x->text = residual(p, x->text, y, l->self_out, l->self_norm);
    }
}

static lcf_tensor *cross_attention(lcf_tensor *x, const pass *a, const qformer_layer *l)
{
    const lcf_qformer_pass *p = a->p;
    const size_t dim = p->m->config.hidden;
    const lcf_attend_keys key = {linear(p, a->item, l->cross_kv), 0, dim, a->item_offsets};
    lcf_tensor *y = lcf_op_attend(p->tape, linear(p, x, l->cross_query), dim, p->m->config.heads,
                                  a->query_offsets, a->n, &key, 1, false);

    return residual(p, x, y, l->cross_out, l->cross_norm);
}

static void layer(lcf_qformer_out *x, const pass *a, const qformer_layer *l)
{
    self_attention(x, a, l);
    if (x->queries && l->cross)
        x->queries = cross_attention(x->queries, a, l);
    if (x->queries)
        x->queries = feed_forward(a->p, x->queries, &l->query);
    if (x->text)
        x->text = feed_forward(a->p, x->text, &l->text);
}

/* ---- what goes in ---- */

/* 0, step, 2 step, ... ; NULL when memory is out. */
static uint32_t *even_offsets(lcf_tape *t, size_t n, size_t step)
{
    uint32_t *offsets = lcf_tape_alloc(t, n + 1, sizeof(*offsets));

    for (size_t i = 0; offsets && i <= n; i++)
        offsets[i] = (uint32_t)(i * step);
    return offsets;
}

/* Every item starts from the same queries. */
static lcf_tensor *embed_queries(const pass *a)
{
    const lcf_qformer_pass *p = a->p;
    const size_t k = p->m->config.queries;
    uint32_t *ids = lcf_tape_alloc(p->tape, a->n * k, sizeof(*ids));

    for (size_t i = 0; ids && i < a->n * k; i++)
        ids[i] = (uint32_t)(i % k);
    return dropout(
        p, norm(p, lcf_op_gather(p->tape, param(p, p->m->query), ids, a->n * k), p->m->embed_norm));
}

static lcf_tensor *embed_text(const pass *a, const lcf_qformer_texts *texts)
{
    const lcf_qformer_pass *p = a->p;
    const size_t n = texts->offsets[texts->n];
    uint32_t *position = lcf_tape_alloc(p->tape, n, sizeof(*position));
    lcf_tensor *words, *places;

    for (size_t i = 0; position && i < texts->n; i++) {
        LCF_ASSERT(texts->offsets[i + 1] > texts->offsets[i] &&
                   texts->offsets[i + 1] - texts->offsets[i] <= p->m->config.text_max);
        for (uint32_t at = texts->offsets[i]; at < texts->offsets[i + 1]; at++)
            position[at] = at - texts->offsets[i];
    }
    words = lcf_op_gather(p->tape, param(p, p->m->word), texts->ids, n);
    places = lcf_op_gather(p->tape, param(p, p->m->position), position, n);
    return dropout(p, norm(p, lcf_op_add(p->tape, words, places), p->m->embed_norm));
}

static lcf_tensor *item_input(const pass *a, const float *vectors)
{
    const lcf_qformer_config *c = &a->p->m->config;
    const size_t dims[2] = {a->n, c->item_dim};
    lcf_tensor *x = lcf_tape_input(a->p->tape, vectors, dims, 2);

    return c->item_scale == 1.0f ? x : lcf_op_scale(a->p->tape, x, c->item_scale);
}

/* ---- forward ---- */

lcf_qformer_out lcf_qformer_forward(const lcf_qformer_pass *p, const float *vectors, size_t n,
                                    const lcf_qformer_texts *texts, lcf_qformer_mask mask)
{
    pass a = {.p = p, .n = n, .mask = mask};
    lcf_qformer_out x = {NULL, NULL};

    LCF_ASSERT(n > 0 && (vectors || texts) && (!texts || texts->n == n));
    LCF_ASSERT(mask == LCF_QFORMER_SEPARATE || (vectors && texts));
    a.query_offsets = even_offsets(p->tape, n, p->m->config.queries);
    a.item_offsets = even_offsets(p->tape, n, 1);
    if (vectors) {
        a.item = item_input(&a, vectors);
        x.queries = embed_queries(&a);
    }
    if (texts) {
        a.text_offsets = texts->offsets;
        x.text = embed_text(&a, texts);
    }
    for (uint32_t i = 0; i < p->m->config.layers; i++)
        layer(&x, &a, &p->m->layers[i]);
    return x;
}

lcf_tensor *lcf_qformer_queries(const lcf_qformer_pass *p, const float *vectors, size_t n)
{
    return lcf_qformer_forward(p, vectors, n, NULL, LCF_QFORMER_SEPARATE).queries;
}

/* ---- heads ---- */

lcf_tensor *lcf_qformer_query_features(const lcf_qformer_pass *p, lcf_tensor *queries)
{
    return lcf_op_normalize(p->tape, linear(p, queries, p->m->query_feature));
}

lcf_tensor *lcf_qformer_text_features(const lcf_qformer_pass *p, lcf_tensor *text,
                                      const lcf_qformer_texts *texts)
{
    lcf_tensor *first = lcf_op_gather(p->tape, text, texts->offsets, texts->n);

    return lcf_op_normalize(p->tape, linear(p, first, p->m->text_feature));
}

lcf_tensor *lcf_qformer_temperature(const lcf_qformer_pass *p, lcf_qformer_space space)
{
    return param(p, p->m->temperature[space]);
}

lcf_tensor *lcf_qformer_match(const lcf_qformer_pass *p, lcf_tensor *queries)
{
    const size_t k = p->m->config.queries, n = queries->n / p->m->config.hidden / k;
    uint32_t *ids = lcf_tape_alloc(p->tape, n * k, sizeof(*ids));

    for (size_t i = 0; ids && i < n * k; i++)
        ids[i] = (uint32_t)i;
    return lcf_op_gather_mean(p->tape, linear(p, queries, p->m->match), ids,
                              even_offsets(p->tape, n, k), n);
}

lcf_tensor *lcf_qformer_next_token(const lcf_qformer_pass *p, lcf_tensor *rows)
{
    lcf_tensor *x = lcf_op_gelu(p->tape, linear(p, rows, p->m->token));

    x = norm(p, x, p->m->token_norm);
    return lcf_op_linear(p->tape, x, param(p, p->m->word), param(p, p->m->word_bias));
}
