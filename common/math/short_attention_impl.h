/*
 * The bodies of lcf_short_attention: included by simd_impl.h, which says how it is compiled.
 *
 * Rows of a head's block are hp = head_dim and tp = tokens, each rounded up to whole vectors;
 * what is beyond the head or the sequence is zero, so that every loop runs over whole vectors and
 * whole tiles. The usual shape, one vector each, is compiled with constants.
 */
#include "common/math/short_attention.h"

#if TILE_ROWS == 8
#define SHORT_TILE 8
#else
#define SHORT_TILE 4 /* a divisor of SHORT_ROWS, as 8 is */
#endif

/* A head of one sequence: its tokens that are there, and its block. */
typedef struct short_head {
    size_t tokens, queries; /* that are there */
    size_t first, query;    /* rows of the first of each, in the sequence */
    size_t step;
    float *q, *k, *v;    /* [tp, hp] turned queries and keys, values */
    float *kt, *vt;      /* [hp, tp] */
    float *dq, *dk, *dv; /* [tp, hp] */
    float *s;            /* [tp, tp] scores or their gradient */
} short_head;

/* The token of query r. */
ALWAYS_INLINE size_t short_token(const short_head *h, size_t r)
{
    return h->tokens - 1 - (h->queries - 1 - r) * h->step;
}

ALWAYS_INLINE void short_cut(short_head *h, const lcf_short_attention *a, float *scratch,
                             const size_t hp, const size_t tp)
{
    float **const parts[] = {&h->q, &h->k, &h->v, &h->kt, &h->vt, &h->dq, &h->dk, &h->dv};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++, scratch += hp * tp)
        *parts[i] = scratch;
    h->s = scratch;
    h->step = a->step;
}

ALWAYS_INLINE void short_place(short_head *h, const lcf_short_attention *a, size_t sequence)
{
    const size_t all = lcf_short_attention_queries(a->tokens, a->step);

    h->first = a->padding ? a->padding[sequence] : 0;
    h->tokens = a->tokens - h->first;
    h->queries = lcf_short_attention_queries(h->tokens, a->step);
    h->query = all - h->queries;
}

/* Rows of `hd` floats into the block, zeros around them. */
ALWAYS_INLINE void short_load(float *to, const float *from, size_t ld, size_t n, const size_t hd,
                              const size_t hp, const size_t tp)
{
    size_t i;

    for (i = 0; i < n; i++) {
        memcpy(to + i * hp, from + i * ld, hd * sizeof(*to));
        if (hd < hp)
            memset(to + i * hp + hd, 0, (hp - hd) * sizeof(*to));
    }
    memset(to + n * hp, 0, (tp - n) * hp * sizeof(*to));
}

ALWAYS_INLINE void short_store(float *to, const float *from, size_t ld, size_t n, const size_t hd,
                               const size_t hp)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * ld, from + i * hp, hd * sizeof(*to));
}

/* Turns rows of queries (step above 0) or of all tokens. */
ALWAYS_INLINE void short_turn(float *rows, const lcf_short_attention *a, const short_head *h,
                              bool queries, float sign, const size_t hd, const size_t hp)
{
    const size_t n = queries ? h->queries : h->tokens;

    for (size_t i = 0; i < n; i++) {
        const size_t at = h->first + (queries ? short_token(h, i) : i);

        rope_head(rows + i * hp, hd, a->angles + at * hd, sign);
    }
}

/* SHORT_TILE rows of C [., n] = A B, n of whole vectors. */
ALWAYS_INLINE void short_product(float *c, const float *a, size_t a_row, size_t a_col,
                                 const float *b, const size_t n, size_t k)
{
    for (size_t j = 0; j < n; j += VW)
        tile(SHORT_TILE, 1, c + j, n, a, a_row, a_col, b + j, n, k, 1.0f, false);
}

/* y [queries, n] = P x for causal P [tp, tp]: a tile of rows reads the tokens that its last sees.
 */
ALWAYS_INLINE void short_rows(float *y, const short_head *h, const float *p, const float *x,
                              const size_t n, const size_t tp)
{
    for (size_t r = 0; r < h->queries; r += SHORT_TILE) {
        const size_t last = r + SHORT_TILE <= h->queries ? r + SHORT_TILE - 1 : h->queries - 1;

        short_product(y + r * n, p + r * tp, tp, 1, x, n, short_token(h, last) + 1);
    }
}

/* y [tokens, n] = P^T x for causal P: a tile of tokens reads the queries that see its first. */
ALWAYS_INLINE void short_columns(float *y, const short_head *h, const float *p, const float *x,
                                 const size_t n, const size_t tp)
{
    for (size_t j = 0; j < h->tokens; j += SHORT_TILE) {
        const size_t seen = (h->tokens - 1 - j) / h->step + 1, from = h->queries - seen;

        short_product(y + j * n, p + from * tp + j, 1, tp, x + from * n, n, seen);
    }
}

/* s [queries, tp] = x y^T, yt [hp, tp] given. */
ALWAYS_INLINE void short_scores(const short_head *h, const float *x, const float *yt,
                                const size_t hp, const size_t tp)
{
    for (size_t r = 0; r < h->queries; r += SHORT_TILE)
        short_product(h->s + r * tp, x + r * hp, hp, 1, yt, tp, hp);
}

/* yt [hp, tp] = transpose of y [tp, hp]. */
ALWAYS_INLINE void short_transpose(float *yt, const float *y, const size_t hp, const size_t tp)
{
    for (size_t r = 0; r < tp; r += VW)
        for (size_t c = 0; c < hp; c += VW)
            transpose_block(yt + c * tp + r, tp, y + r * hp + c, hp);
}

/* The softmax of n scores times scale, zeros behind them. */
ALWAYS_INLINE void short_softmax(float *p, const float *s, size_t n, float scale, const size_t tp)
{
    float max = -INFINITY, sum = 0.0f;
    size_t i;

#pragma omp simd reduction(max : max)
    for (i = 0; i < tp; i++) {
        p[i] = i < n ? s[i] * scale : -INFINITY;
        max = p[i] > max ? p[i] : max;
    }
#pragma omp simd reduction(+ : sum)
    for (i = 0; i < tp; i++) {
        p[i] = exp_one(p[i] - max);
        sum += p[i];
    }
    sum = 1.0f / sum;
#pragma omp simd
    for (i = 0; i < tp; i++)
        p[i] *= sum;
}

ALWAYS_INLINE void short_forward(float *out, float *kept, const float *q, const float *k,
                                 const float *v, const lcf_short_attention *a, float *scratch,
                                 const size_t hd, const size_t hp, const size_t tp)
{
    const size_t all = lcf_short_attention_queries(a->tokens, a->step), ldo = a->heads * hd;
    const float scale = 1.0f / sqrtf((float)hd);
    short_head h;

    short_cut(&h, a, scratch, hp, tp);
    for (size_t b = 0; b < a->batch; b++, q += all * a->ldq, out += all * ldo) {
        const size_t at = b * a->tokens * a->ldk;

        short_place(&h, a, b);
        for (size_t i = 0; i < a->heads; i++, kept += SHORT_ROWS(all) * tp) {
            const size_t from = at + h.first * a->ldk + i * hd;

            short_load(h.q, q + h.query * a->ldq + i * hd, a->ldq, h.queries, hd, hp, tp);
            short_load(h.k, k + from, a->ldk, h.tokens, hd, hp, tp);
            short_load(h.v, v + from, a->ldk, h.tokens, hd, hp, tp);
            short_turn(h.q, a, &h, true, 1.0f, hd, hp);
            short_turn(h.k, a, &h, false, 1.0f, hd, hp);
            short_transpose(h.kt, h.k, hp, tp);
            short_scores(&h, h.q, h.kt, hp, tp);
            for (size_t r = 0; r < h.queries; r++)
                short_softmax(kept + r * tp, h.s + r * tp, short_token(&h, r) + 1, scale, tp);
            memset(kept + h.queries * tp, 0, (SHORT_ROWS(all) - h.queries) * tp * sizeof(*kept));
            short_rows(h.dq, &h, kept, h.v, hp, tp);
            for (size_t r = 0; r < h.query; r++)
                memset(out + r * ldo + i * hd, 0, hd * sizeof(*out));
            short_store(out + h.query * ldo + i * hd, h.dq, ldo, h.queries, hd, hp);
        }
    }
}

/* From s, the gradient of probabilities p, that of the scores before their scaling. */
ALWAYS_INLINE void short_softmax_grad(float *s, const float *p, float scale, const size_t tp)
{
    float sum = 0.0f;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < tp; i++)
        sum += s[i] * p[i];
#pragma omp simd
    for (i = 0; i < tp; i++)
        s[i] = p[i] * (s[i] - sum) * scale;
}

/* Zeros for what is not there: n rows. */
ALWAYS_INLINE void short_clear(float *x, size_t ld, size_t n, const size_t hd)
{
    for (size_t i = 0; i < n; i++)
        memset(x + i * ld, 0, hd * sizeof(*x));
}

ALWAYS_INLINE void short_backward(float *dq, float *dk, float *dv, const float *dout,
                                  const float *kept, const float *q, const float *k, const float *v,
                                  const lcf_short_attention *a, float *scratch, const size_t hd,
                                  const size_t hp, const size_t tp)
{
    const size_t all = lcf_short_attention_queries(a->tokens, a->step), ldo = a->heads * hd;
    const float scale = 1.0f / sqrtf((float)hd);
    short_head h;

    short_cut(&h, a, scratch, hp, tp);
    for (size_t b = 0; b < a->batch; b++) {
        short_place(&h, a, b);
        for (size_t i = 0; i < a->heads; i++, kept += SHORT_ROWS(all) * tp) {
            const size_t at = b * a->tokens * a->ldk + i * hd, from = at + h.first * a->ldk;
            const size_t query = b * all * a->ldq + i * hd, asked = query + h.query * a->ldq;
            float *dy = h.dv; /* until dv is made of it */

            short_load(h.q, q + asked, a->ldq, h.queries, hd, hp, tp);
            short_load(h.k, k + from, a->ldk, h.tokens, hd, hp, tp);
            short_load(h.v, v + from, a->ldk, h.tokens, hd, hp, tp);
            short_load(dy, dout + (b * all + h.query) * ldo + i * hd, ldo, h.queries, hd, hp, tp);
            short_turn(h.q, a, &h, true, 1.0f, hd, hp);
            short_turn(h.k, a, &h, false, 1.0f, hd, hp);
            short_transpose(h.vt, h.v, hp, tp);
            short_scores(&h, dy, h.vt, hp, tp);
            for (size_t r = 0; r < h.queries; r++)
                short_softmax_grad(h.s + r * tp, kept + r * tp, scale, tp);
            short_columns(h.v, &h, kept, dy, hp, tp);
            short_rows(h.dq, &h, h.s, h.k, hp, tp);
            short_columns(h.dk, &h, h.s, h.q, hp, tp);
            short_turn(h.dq, a, &h, true, -1.0f, hd, hp);
            short_turn(h.dk, a, &h, false, -1.0f, hd, hp);
            short_clear(dq + query, a->ldq, h.query, hd);
            short_clear(dk + at, a->ldk, h.first, hd);
            short_clear(dv + at, a->ldk, h.first, hd);
            short_store(dq + asked, h.dq, a->ldq, h.queries, hd, hp);
            short_store(dk + from, h.dk, a->ldk, h.tokens, hd, hp);
            short_store(dv + from, h.v, a->ldk, h.tokens, hd, hp);
        }
    }
}

#define SHORT_ROUND(n) (((n) + SHORT_LANES - 1) / SHORT_LANES * SHORT_LANES)

static void impl_short_forward(float *out, float *kept, const float *q, const float *k,
                               const float *v, const lcf_short_attention *a, float *scratch)
{
    const size_t hp = SHORT_ROUND(a->head_dim), tp = SHORT_ROUND(a->tokens);

    if (a->head_dim == SHORT_LANES && tp == SHORT_LANES)
        short_forward(out, kept, q, k, v, a, scratch, SHORT_LANES, SHORT_LANES, SHORT_LANES);
    else
        short_forward(out, kept, q, k, v, a, scratch, a->head_dim, hp, tp);
}

static void impl_short_backward(float *dq, float *dk, float *dv, const float *dout,
                                const float *kept, const float *q, const float *k, const float *v,
                                const lcf_short_attention *a, float *scratch)
{
    const size_t hp = SHORT_ROUND(a->head_dim), tp = SHORT_ROUND(a->tokens);

    if (a->head_dim == SHORT_LANES && tp == SHORT_LANES)
        short_backward(dq, dk, dv, dout, kept, q, k, v, a, scratch, SHORT_LANES, SHORT_LANES,
                       SHORT_LANES);
    else
        short_backward(dq, dk, dv, dout, kept, q, k, v, a, scratch, a->head_dim, hp, tp);
}
