/*
 * The Q-Former's query branch without a tape.
 *
 * Invariant: the softmax over one key is 1, so cross-attention gives every query of an item the
 * same vector, W_o (W_v e + b_v) + b_o; queries' and keys' weights are not read.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "offline/ilm/qformer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 32 /* items at a time: the working set stays in the cache */

typedef struct work {
    const lcf_qformer *m;
    size_t n, rows;   /* items of the block, and their queries */
    float *x;         /* [rows, hidden] */
    float *y;         /* [rows, hidden] */
    float *wide;      /* [rows, max(3 hidden, ffn)] */
    float *scores;    /* [queries, queries] */
    float *item, *to; /* [n, hidden] each */
} work;

static const float *value(const work *w, size_t idx)
{
    return lcf_params_value(&w->m->params, idx);
}

static void linear(float *y, const work *w, const float *x, qformer_pair at, size_t n, size_t in,
                   size_t out)
{
    lcf_linear(y, x, value(w, at.w), value(w, at.b), n, in, out);
}

/* x = norm(x + y) */
static void add_norm(const work *w, qformer_pair at)
{
    const size_t dim = w->m->config.hidden;

    lcf_axpy(w->x, 1.0f, w->y, w->rows * dim);
    lcf_layernorm(w->x, w->x, value(w, at.w), value(w, at.b), w->rows, dim, QFORMER_EPS);
}

static void attend(const work *w)
{
    const size_t k = w->m->config.queries, dim = w->m->config.hidden, ld = 3 * dim;
    const size_t head = dim / w->m->config.heads;

    for (size_t i = 0; i < w->n; i++)
        for (size_t h = 0; h < dim; h += head) {
            const float *q = w->wide + i * k * ld + h;

            lcf_gemm(w->scores, q, q + dim, false, true, k, k, head, 1.0f / sqrtf((float)head),
                     0.0f, ld, ld, k);
            lcf_softmax(w->scores, k, k);
            lcf_gemm(w->y + i * k * dim + h, w->scores, q + 2 * dim, false, false, k, head, k, 1.0f,
                     0.0f, k, ld, dim);
        }
}

static void cross(const work *w, const qformer_layer *l, const float *vectors)
{
    const size_t k = w->m->config.queries, dim = w->m->config.hidden, in = w->m->config.item_dim;

    lcf_linear(w->item, vectors, value(w, l->cross_kv.w) + dim * in, value(w, l->cross_kv.b) + dim,
               w->n, in, dim);
    linear(w->to, w, w->item, l->cross_out, w->n, dim, dim);
    for (size_t i = 0; i < w->rows; i++)
        memcpy(w->y + i * dim, w->to + i / k * dim, dim * sizeof(float));
    add_norm(w, l->cross_norm);
}

static void layer(work *w, const qformer_layer *l, const float *vectors)
{
    const size_t dim = w->m->config.hidden, ffn = w->m->config.ffn;

    linear(w->wide, w, w->x, l->self_qkv, w->rows, dim, 3 * dim);
    attend(w);
    /* y is read by the product that overwrites it: through `wide`. */
    linear(w->wide, w, w->y, l->self_out, w->rows, dim, dim);
    memcpy(w->y, w->wide, w->rows * dim * sizeof(float));
    add_norm(w, l->self_norm);
    if (l->cross)
        cross(w, l, vectors);
    linear(w->wide, w, w->x, l->query.up, w->rows, dim, ffn);
    lcf_gelu(w->wide, w->wide, w->rows * ffn);
    linear(w->y, w, w->wide, l->query.down, w->rows, ffn, dim);
    add_norm(w, l->query.norm);
}

static void encode_block(work *w, const float *vectors)
{
    const lcf_qformer_config *c = &w->m->config;
    const size_t each = (size_t)c->queries * c->hidden;

    for (size_t i = 0; i < w->n; i++)
        memcpy(w->x + i * each, value(w, w->m->query), each * sizeof(float));
    lcf_layernorm(w->x, w->x, value(w, w->m->embed_norm.w), value(w, w->m->embed_norm.b), w->rows,
                  c->hidden, QFORMER_EPS);
    for (uint32_t i = 0; i < c->layers; i++)
        layer(w, &w->m->layers[i], vectors);
}

/* Takes memory for BLOCK items: *memory, to be freed. False when there is none. */
static bool take_memory(work *w, float **memory, float **vectors)
{
    const lcf_qformer_config *c = &w->m->config;
    const size_t dim = c->hidden, rows = (size_t)BLOCK * c->queries;
    const size_t wide = 3 * dim > c->ffn ? 3 * dim : c->ffn;
    const size_t scores = (size_t)c->queries * c->queries;
    float *at;

    *memory = at = lcf_alloc_aligned(
        rows * (2 * dim + wide) + scores + BLOCK * (2 * dim + c->item_dim), sizeof(*at));
    if (!at)
        return false;
    w->x = at;
    w->y = w->x + rows * dim;
    w->wide = w->y + rows * dim;
    w->scores = w->wide + rows * wide;
    w->item = w->scores + scores;
    w->to = w->item + BLOCK * dim;
    *vectors = w->to + BLOCK * dim;
    return true;
}

lcf_status lcf_qformer_encode(float *out, const lcf_qformer *m, const float *vectors, size_t n,
                              lcf_err *err)
{
    const lcf_qformer_config *c = &m->config;
    const size_t each = (size_t)c->queries * c->hidden;
    work w = {.m = m};
    float *memory, *scaled;

    if (!take_memory(&w, &memory, &scaled))
        return LCF_FAIL(err, LCF_ENOMEM, "queries of %zu vectors", n);
    for (size_t at = 0; at < n; at += BLOCK) {
        w.n = n - at < BLOCK ? n - at : BLOCK;
        w.rows = w.n * c->queries;
        for (size_t i = 0; i < w.n * c->item_dim; i++)
            scaled[i] = c->item_scale * vectors[at * c->item_dim + i];
        encode_block(&w, scaled);
        memcpy(out + at * each, w.x, w.rows * c->hidden * sizeof(float));
    }
    free(memory);
    return LCF_OK;
}
