/*
 * SASRec: causal self-attention over the history; the last token is the user.
 *
 *     x = sqrt(d) item + position
 *     q = LayerNorm(x);  x = q + Wo attention(Wq q, Wk x, Wv x)
 *     n = LayerNorm(x);  x = n + W2 relu(W1 n)            per block, then a last LayerNorm
 *
 * Positions count from the oldest item that is seen. Short sequences are packed into rows of
 * history_max tokens for the attention, each a segment of its own; everything else is computed
 * once per token.
 *
 * source   Kang and McAuley 2018; queries alone are normalised before the attention, as there. Keys
 * have no bias: it would add the same to all scores of a query.
 * Dropout of the attention's output stands for that of its weights.
 */
#include "common/model/next_item_internal.h"

#include <math.h>
#include <string.h>

#define NORM_EPS 1e-8f
#define POSITION_SCALE 0.1f

static lcf_status check(const lcf_next_config *c, lcf_err *err)
{
    if (c->dim % c->heads_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "next-item configuration: dim %u is no multiple of heads_n %u", c->dim,
                        c->heads_n);
    return LCF_OK;
}

static lcf_status declare_block(lcf_next *m, uint32_t block, const lcf_next_config *c, lcf_err *err)
{
    const size_t d = c->dim, ffn = c->hidden;
    const lcf_init xavier = LCF_INIT_XAVIER_UNIFORM;
    const next_param params[] = {
        {"norm1.w", d, 0, LCF_INIT_ONE, 0.0f},
        {"norm1.b", d, 0, LCF_INIT_ZERO, 0.0f},
        {"q.w", d, d, xavier, 0.0f},
        {"q.b", d, 0, LCF_INIT_ZERO, 0.0f},
        {"k.w", d, d, xavier, 0.0f},
        {"v.w", d, d, xavier, 0.0f},
        {"v.b", d, 0, LCF_INIT_ZERO, 0.0f},
        {"o.w", d, d, xavier, 0.0f},
        {"o.b", d, 0, LCF_INIT_ZERO, 0.0f},
        {"norm2.w", d, 0, LCF_INIT_ONE, 0.0f},
        {"norm2.b", d, 0, LCF_INIT_ZERO, 0.0f},
        {"ffn1.w", ffn, d, xavier, 0.0f},
        {"ffn1.b", ffn, 0, LCF_INIT_ZERO, 0.0f},
        {"ffn2.w", d, ffn, xavier, 0.0f},
        {"ffn2.b", d, 0, LCF_INIT_ZERO, 0.0f},
    };

    return lcf_next_declare(m, "block", block, params, sizeof(params) / sizeof(params[0]), err);
}

static lcf_status declare(lcf_next *m, const lcf_next_config *c, lcf_err *err)
{
    const next_param position = {"table", c->history_max, c->dim, LCF_INIT_NORMAL, POSITION_SCALE};
    const next_param norm[] = {{"w", c->dim, 0, LCF_INIT_ONE, 0.0f},
                               {"b", c->dim, 0, LCF_INIT_ZERO, 0.0f}};
    lcf_status status = lcf_next_declare(m, "position", LCF_NEXT_ONE, &position, 1, err);

    for (uint32_t i = 0; i < c->layers_n && !status; i++)
        status = declare_block(m, i, c, err);
    return status ? status : lcf_next_declare(m, "final", LCF_NEXT_ONE, norm, 2, err);
}

/* Where tokens stand in rows of `length` slots. */
typedef struct packing {
    size_t tokens_n, rows_n, length;
    uint32_t *token;    /* [rows_n * length] the token of a slot; any one where it is empty */
    uint32_t *slot;     /* [tokens_n] */
    uint32_t *segments; /* [rows_n * length] sequence + 1; 0 where empty, always behind the rest */
    uint32_t *position; /* [tokens_n] within its sequence */
} packing;

/* A sequence goes into the row at hand where it fits, else into the next. */
static bool pack(packing *k, const next_pass *p)
{
    const lcf_next_batch *b = p->batch;
    size_t used = 0;

    k->tokens_n = b->offsets[b->sequences_n];
    k->rows_n = 1;
    for (size_t s = 0; s < b->sequences_n; s++)
        if (b->offsets[s + 1] - b->offsets[s] > k->length)
            k->length = b->offsets[s + 1] - b->offsets[s];
    k->slot = lcf_tape_alloc(p->tape, k->tokens_n, sizeof(*k->slot));
    k->position = lcf_tape_alloc(p->tape, k->tokens_n, sizeof(*k->position));
    for (size_t s = 0; s < b->sequences_n && k->slot && k->position; s++) {
        const size_t n = b->offsets[s + 1] - b->offsets[s];

        if (used + n > k->length) {
            k->rows_n++;
            used = 0;
        }
        for (uint32_t i = 0; i < n; i++) {
            k->slot[b->offsets[s] + i] = (uint32_t)((k->rows_n - 1) * k->length + used + i);
            k->position[b->offsets[s] + i] = i;
        }
        used += n;
    }
    k->token = lcf_tape_alloc(p->tape, k->rows_n * k->length, sizeof(*k->token));
    k->segments = lcf_tape_alloc(p->tape, k->rows_n * k->length, sizeof(*k->segments));
    if (!k->token || !k->segments)
        return false;
    memset(k->token, 0, k->rows_n * k->length * sizeof(*k->token));
    memset(k->segments, 0, k->rows_n * k->length * sizeof(*k->segments));
    for (size_t s = 0; s < b->sequences_n; s++)
        for (uint32_t i = b->offsets[s]; i < b->offsets[s + 1]; i++) {
            k->token[k->slot[i]] = i;
            k->segments[k->slot[i]] = (uint32_t)s + 1;
        }
    return true;
}

/* Heads of a map of tokens, by slot: [rows, length, heads, head dim]. */
static lcf_tensor *heads(const next_pass *p, const packing *k, lcf_tensor *x)
{
    const size_t n = p->config->heads_n;
    const size_t dims[4] = {k->rows_n, k->length, n, p->config->dim / n};

    return lcf_op_reshape(p->tape, lcf_op_gather(p->tape, x, k->token, k->rows_n * k->length), dims,
                          4);
}

static lcf_tensor *attention(const next_pass *p, const packing *k, uint32_t block,
                             lcf_tensor *queries, lcf_tensor *x)
{
    const size_t flat[2] = {k->rows_n * k->length, p->config->dim};
    lcf_tensor *q = lcf_next_linear(p, "block", block, "q", queries);
    lcf_tensor *keys = lcf_op_linear(p->tape, x, lcf_next_param(p, "block", block, "k.w"), NULL);
    lcf_tensor *v = lcf_next_linear(p, "block", block, "v", x);
    lcf_tensor *a =
        lcf_op_attention(p->tape, heads(p, k, q), heads(p, k, keys), heads(p, k, v), k->segments);

    a = lcf_op_gather(p->tape, lcf_op_reshape(p->tape, a, flat, 2), k->slot, k->tokens_n);
    return lcf_next_dropout(p, lcf_next_linear(p, "block", block, "o", a));
}

static lcf_tensor *norm(const next_pass *p, const char *prefix, uint32_t block, const char *w,
                        const char *b, lcf_tensor *x)
{
    return lcf_op_layernorm(p->tape, x, lcf_next_param(p, prefix, block, w),
                            lcf_next_param(p, prefix, block, b), NORM_EPS);
}

static lcf_tensor *feed_forward(const next_pass *p, uint32_t block, lcf_tensor *x)
{
    lcf_tensor *y = lcf_next_dropout(p, lcf_next_linear(p, "block", block, "ffn1", x));

    y = lcf_next_linear(p, "block", block, "ffn2", lcf_op_relu(p->tape, y));
    return lcf_op_add(p->tape, lcf_next_dropout(p, y), x);
}

static lcf_tensor *forward(const next_pass *p)
{
    packing k = {0};
    lcf_tensor *x, *q;

    if (!pack(&k, p))
        return lcf_next_table(p); /* the tape has failed: no data is touched */
    x = lcf_op_scale(p->tape, lcf_op_gather(p->tape, lcf_next_table(p), p->items, k.tokens_n),
                     sqrtf((float)p->config->dim));
    q = lcf_next_param(p, "position", LCF_NEXT_ONE, "table");
    x = lcf_op_add(p->tape, x, lcf_op_gather(p->tape, q, k.position, k.tokens_n));
    x = lcf_next_dropout(p, x);
    for (uint32_t i = 0; i < p->config->layers_n; i++) {
        q = norm(p, "block", i, "norm1.w", "norm1.b", x);
        x = lcf_op_add(p->tape, q, attention(p, &k, i, q, x));
        x = feed_forward(p, i, norm(p, "block", i, "norm2.w", "norm2.b", x));
    }
    return norm(p, "final", LCF_NEXT_ONE, "w", "b", lcf_next_last(p, x));
}

const lcf_next_encoder lcf_next_sasrec = {"sasrec", check, declare, forward};
