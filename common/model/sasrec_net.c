/*
 * SASRec's blocks: see sasrec.h. Short sequences are packed into rows of the longest one's length
 * for the attention, each a segment of its own; everything else is computed once per token.
 */
#include "common/model/sasrec.h"

#include <math.h>
#include <string.h>

#define NORM_EPS 1e-8f

/* Where tokens stand in rows of `length` slots. */
typedef struct packing {
    size_t tokens_n, rows_n, length;
    uint32_t *token;    /* [rows_n * length] the token of a slot; any one where it is empty */
    uint32_t *slot;     /* [tokens_n] */
    uint32_t *segments; /* [rows_n * length] sequence + 1; 0 where empty, always behind the rest */
    uint32_t *position; /* [tokens_n] within its sequence */
} packing;

/* A sequence goes into the row at hand where it fits, else into the next. */
static bool pack(packing *k, lcf_tape *t, const uint32_t *offsets, size_t sequences_n)
{
    size_t used = 0;

    k->tokens_n = offsets[sequences_n];
    k->rows_n = 1;
    for (size_t s = 0; s < sequences_n; s++)
        if (offsets[s + 1] - offsets[s] > k->length)
            k->length = offsets[s + 1] - offsets[s];
    k->slot = lcf_tape_alloc(t, k->tokens_n, sizeof(*k->slot));
    k->position = lcf_tape_alloc(t, k->tokens_n, sizeof(*k->position));
    for (size_t s = 0; s < sequences_n && k->slot && k->position; s++) {
        const size_t n = offsets[s + 1] - offsets[s];

        if (used + n > k->length) {
            k->rows_n++;
            used = 0;
        }
        for (uint32_t i = 0; i < n; i++) {
            k->slot[offsets[s] + i] = (uint32_t)((k->rows_n - 1) * k->length + used + i);
            k->position[offsets[s] + i] = i;
        }
        used += n;
    }
    k->token = lcf_tape_alloc(t, k->rows_n * k->length, sizeof(*k->token));
    k->segments = lcf_tape_alloc(t, k->rows_n * k->length, sizeof(*k->segments));
    if (!k->token || !k->segments)
        return false;
    memset(k->token, 0, k->rows_n * k->length * sizeof(*k->token));
    memset(k->segments, 0, k->rows_n * k->length * sizeof(*k->segments));
    for (size_t s = 0; s < sequences_n; s++)
        for (uint32_t i = offsets[s]; i < offsets[s + 1]; i++) {
            k->token[k->slot[i]] = i;
            k->segments[k->slot[i]] = (uint32_t)s + 1;
        }
    return true;
}

/* One block at work. */
typedef struct pass {
    lcf_tape *t;
    const sasrec_net *net;
    size_t block;
    const packing *k;
    lcf_rng *rng;
} pass;

static lcf_tensor *param(const pass *p, size_t i)
{
    return p->net->param(p->net->owner, p->block, i);
}

static lcf_tensor *drop(const pass *p, lcf_tensor *x)
{
    return p->rng ? lcf_op_dropout(p->t, x, p->net->dropout, p->rng) : x;
}

/* x W + b, the bias behind its matrix in SASREC_PARAMS. */
static lcf_tensor *linear(const pass *p, size_t w, lcf_tensor *x)
{
    return lcf_op_linear(p->t, x, param(p, w), param(p, w + 1));
}

static lcf_tensor *norm(const pass *p, size_t w, lcf_tensor *x)
{
    return lcf_op_layernorm(p->t, x, param(p, w), param(p, w + 1), NORM_EPS);
}

/* Heads of a map of tokens, by slot: [rows, length, heads, head dim]. */
static lcf_tensor *heads(const pass *p, lcf_tensor *x)
{
    const packing *k = p->k;
    const size_t n = p->net->heads_n;
    const size_t dims[4] = {k->rows_n, k->length, n, p->net->dim / n};

    return lcf_op_reshape(p->t, lcf_op_gather(p->t, x, k->token, k->rows_n * k->length), dims, 4);
}

static lcf_tensor *attention(const pass *p, lcf_tensor *queries, lcf_tensor *x)
{
    const packing *k = p->k;
    const size_t flat[2] = {k->rows_n * k->length, p->net->dim};
    lcf_tensor *q = linear(p, SASREC_Q_W, queries);
    lcf_tensor *keys = lcf_op_linear(p->t, x, param(p, SASREC_K_W), NULL);
    lcf_tensor *v = linear(p, SASREC_V_W, x);
    lcf_tensor *a = lcf_op_attention(p->t, heads(p, q), heads(p, keys), heads(p, v), k->segments);

    a = lcf_op_gather(p->t, lcf_op_reshape(p->t, a, flat, 2), k->slot, k->tokens_n);
    return drop(p, linear(p, SASREC_O_W, a));
}

static lcf_tensor *feed_forward(const pass *p, lcf_tensor *x)
{
    lcf_tensor *y = drop(p, linear(p, SASREC_FFN1_W, x));

    y = linear(p, SASREC_FFN2_W, lcf_op_relu(p->t, y));
    return lcf_op_add(p->t, drop(p, y), x);
}

lcf_tensor *lcf_sasrec_encode(lcf_tape *t, const sasrec_net *net, lcf_tensor *items,
                              const uint32_t *offsets, size_t sequences_n, lcf_rng *rng)
{
    packing k = {0};
    pass p = {t, net, 0, &k, rng};
    lcf_tensor *x, *q;

    if (!pack(&k, t, offsets, sequences_n))
        return NULL;
    x = lcf_op_scale(t, items, sqrtf((float)net->dim));
    x = lcf_op_add(t, x, lcf_op_gather(t, net->position, k.position, k.tokens_n));
    x = drop(&p, x);
    for (p.block = 0; p.block < net->blocks_n; p.block++) {
        q = norm(&p, SASREC_NORM1_W, x);
        x = lcf_op_add(t, q, attention(&p, q, x));
        x = feed_forward(&p, norm(&p, SASREC_NORM2_W, x));
    }
    return x;
}

lcf_tensor *lcf_sasrec_norm(lcf_tape *t, const sasrec_net *net, lcf_tensor *x)
{
    return lcf_op_layernorm(t, x, net->norm_w, net->norm_b, NORM_EPS);
}
