/*
 * Causal grouped-query attention, forward and backward, in blocks of query rows. Nothing of size t
 * x t is kept: the backward pass computes the probabilities again from the rows' log sums.
 *
 * Invariant: within a block, columns outside a row's visible range hold exactly 0 in `p` and `ds`.
 */
#include "common/math/kernels.h"
#include "common/math/simd.h"

#include <math.h>
#include <string.h>

#define BLOCK_ROWS 32
#define PAD 16 /* floats; a multiple of every vector width */

static size_t padded(size_t n)
{
    return (n + PAD - 1) / PAD * PAD;
}

/* Scratch of one call, cut from the caller's floats. */
typedef struct work {
    const lcf_simd *simd;
    const lcf_attention_shape *shape;
    size_t columns;   /* padded(t): row length of everything below */
    float *k_t, *v_t; /* [head_dim, columns] keys and values of one head, transposed */
    float *p, *ds;    /* [BLOCK_ROWS, columns] */
    uint32_t *first;  /* [t] the earliest visible token of each row */
    bool whole;       /* every segment is one run: what is visible is first[i] .. i */
    float scale;
} work;

/* One block of query rows of one head: rows [row0, row0 + rows), columns [low, high). */
typedef struct block {
    size_t row0, rows, low, high;
} block;

size_t lcf_attention_scratch_n(const lcf_attention_shape *shape)
{
    return padded(shape->t) * (2 * shape->head_dim + 2 * BLOCK_ROWS + 1);
}

static work work_cut(const lcf_attention_shape *shape, float *scratch)
{
    work w = {.simd = lcf_simd_get(), .shape = shape, .columns = padded(shape->t), .whole = true};

    w.k_t = scratch;
    w.v_t = w.k_t + w.columns * shape->head_dim;
    w.p = w.v_t + w.columns * shape->head_dim;
    w.ds = w.p + w.columns * BLOCK_ROWS;
    w.first = (uint32_t *)(void *)(w.ds + w.columns * BLOCK_ROWS);
    w.scale = 1.0f / sqrtf((float)shape->head_dim);
    return w;
}

/* first[] of one sequence. A segment may come back after another one; then `whole` is false. */
static void find_first(work *w, const uint32_t *segments)
{
    size_t i, j;

    w->whole = true;
    for (i = 0; i < w->shape->t; i++) {
        if (!segments) {
            w->first[i] = 0;
            continue;
        }
        for (j = i; j > 0 && segments[j - 1] != segments[i]; j--)
            ;
        w->first[i] = j > 0 ? w->first[j - 1] : (uint32_t)i;
        w->whole = w->whole && (j == 0 || j == i);
    }
}

/* out [head_dim, columns] = transpose of x's [t, head_dim] with `stride` between rows; the padding
 * is zero. */
static void transpose(float *out, const float *x, size_t stride, size_t t, size_t head_dim,
                      size_t columns)
{
    size_t i, d, i0;

    for (i0 = 0; i0 < columns; i0 += PAD)
        for (d = 0; d < head_dim; d++)
            for (i = i0; i < i0 + PAD; i++)
                out[d * columns + i] = i < t ? x[i * stride + d] : 0.0f;
}

static block block_at(const work *w, size_t row0)
{
    block b = {row0, w->shape->t - row0, 0, 0};
    size_t i, low;

    if (b.rows > BLOCK_ROWS)
        b.rows = BLOCK_ROWS;
    low = w->first[row0];
    for (i = row0; i < row0 + b.rows; i++)
        low = w->first[i] < low ? w->first[i] : low;
    b.low = low / PAD * PAD;
    b.high = row0 + b.rows;
    return b;
}

/* Scores of a block into p: p[r, low ...) = scale * q[row0 + r] . k. */
static void block_scores(const work *w, const block *b, const float *q, size_t q_stride)
{
    w->simd->tile_gemm(w->p + b->low, w->columns, q + b->row0 * q_stride, q_stride, 1,
                       w->k_t + b->low, w->columns, b->rows, padded(b->high) - b->low,
                       w->shape->head_dim, w->scale, false);
}

/* Zeros in row r of x outside what token `i` sees. */
static void clear_unseen(const work *w, const block *b, float *x, size_t i)
{
    memset(x + b->low, 0, (w->first[i] - b->low) * sizeof(*x));
    memset(x + i + 1, 0, (padded(b->high) - i - 1) * sizeof(*x));
}

/* Scores in tokens of other segments to -inf, where segments interleave. */
static void mask_segments(const work *w, float *row, const uint32_t *segments, size_t i)
{
    size_t j;

    for (j = w->first[i]; j < i && !w->whole; j++)
        if (segments[j] != segments[i])
            row[j] = -INFINITY;
}

static void head_forward(const work *w, float *out, float *lse, const float *q, const float *v,
                         size_t q_stride, size_t kv_stride, const uint32_t *segments)
{
    size_t row0, r;

    for (row0 = 0; row0 < w->shape->t; row0 += BLOCK_ROWS) {
        block b = block_at(w, row0);

        block_scores(w, &b, q, q_stride);
        for (r = 0; r < b.rows; r++) {
            size_t i = row0 + r, first = w->first[i];
            float *row = w->p + r * w->columns;

            mask_segments(w, row, segments, i);
            lse[i] = w->simd->softmax_row(row + first, i + 1 - first);
            clear_unseen(w, &b, row, i);
        }
        w->simd->tile_gemm(out + row0 * q_stride, q_stride, w->p + b.low, w->columns, 1,
                           v + b.low * kv_stride, kv_stride, b.rows, w->shape->head_dim,
                           b.high - b.low, 1.0f, false);
    }
}

void lcf_attention_part(float *out, float *lse, const float *q, const float *k, const float *v,
                        const lcf_attention_shape *shape, size_t kv_first, size_t kv_n,
                        float *scratch)
{
    size_t group = shape->heads / shape->kv_heads, hd = shape->head_dim, t = shape->t;
    size_t q_stride = shape->heads * hd, kv_stride = shape->kv_heads * hd, batch, kv, g;
    work w = work_cut(shape, scratch);

    for (batch = 0; batch < shape->batch; batch++) {
        const uint32_t *segments = shape->segments ? shape->segments + batch * t : NULL;
        const float *kb = k + batch * t * kv_stride, *vb = v + batch * t * kv_stride;

        find_first(&w, segments);
        for (kv = kv_first; kv < kv_first + kv_n; kv++) {
            transpose(w.k_t, kb + kv * hd, kv_stride, t, hd, w.columns);
            for (g = 0; g < group; g++) {
                size_t h = kv * group + g, at = batch * t * q_stride + h * hd;

                head_forward(&w, out + at, lse + (batch * shape->heads + h) * t, q + at,
                             vb + kv * hd, q_stride, kv_stride, segments);
            }
        }
    }
}

void lcf_attention(float *out, float *lse, const float *q, const float *k, const float *v,
                   const lcf_attention_shape *shape, float *scratch)
{
    lcf_attention_part(out, lse, q, k, v, shape, 0, shape->kv_heads, scratch);
}

/* The tensors of one head in the backward pass, each at its first element. */
typedef struct head_grads {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse, *q, *k;
} head_grads;

/* p = probabilities again; ds = gradient of the scores. */
static void block_backward_scores(const work *w, const block *b, const head_grads *h,
                                  size_t q_stride, const uint32_t *segments)
{
    size_t hd = w->shape->head_dim, r;

    block_scores(w, b, h->q, q_stride);
    w->simd->tile_gemm(w->ds + b->low, w->columns, h->dout + b->row0 * q_stride, q_stride, 1,
                       w->v_t + b->low, w->columns, b->rows, padded(b->high) - b->low, hd, 1.0f,
                       false);
    for (r = 0; r < b->rows; r++) {
        size_t i = b->row0 + r, first = w->first[i], n = i + 1 - first;
        float *p = w->p + r * w->columns, *ds = w->ds + r * w->columns, delta;

        mask_segments(w, p, segments, i);
        w->simd->exp_shifted(p + first, h->lse[i], n);
        clear_unseen(w, b, p, i);
        delta = w->simd->dot(h->dout + i * q_stride, h->out + i * q_stride, hd);
        w->simd->softmax_grad(ds + first, p + first, delta, w->scale, n);
        clear_unseen(w, b, ds, i);
    }
}

static void head_backward(const work *w, const head_grads *h, size_t q_stride, size_t kv_stride,
                          const uint32_t *segments)
{
    size_t hd = w->shape->head_dim, row0;

    for (row0 = 0; row0 < w->shape->t; row0 += BLOCK_ROWS) {
        block b = block_at(w, row0);
        size_t seen = b.high - b.low, at = row0 * q_stride;

        block_backward_scores(w, &b, h, q_stride, segments);
        if (h->dq)
            w->simd->tile_gemm(h->dq + at, q_stride, w->ds + b.low, w->columns, 1,
                               h->k + b.low * kv_stride, kv_stride, b.rows, hd, seen, 1.0f, true);
        if (h->dk)
            w->simd->tile_gemm(h->dk + b.low * kv_stride, kv_stride, w->ds + b.low, 1, w->columns,
                               h->q + at, q_stride, seen, hd, b.rows, 1.0f, true);
        if (h->dv)
            w->simd->tile_gemm(h->dv + b.low * kv_stride, kv_stride, w->p + b.low, 1, w->columns,
                               h->dout + at, q_stride, seen, hd, b.rows, 1.0f, true);
    }
}

void lcf_attention_backward_part(float *dq, float *dk, float *dv, const float *dout,
                                 const float *out, const float *lse, const float *q, const float *k,
                                 const float *v, const lcf_attention_shape *shape, size_t kv_first,
                                 size_t kv_n, float *scratch)
{
    size_t group = shape->heads / shape->kv_heads, hd = shape->head_dim, t = shape->t;
    size_t q_stride = shape->heads * hd, kv_stride = shape->kv_heads * hd, batch, kv, g;
    work w = work_cut(shape, scratch);

    for (batch = 0; batch < shape->batch; batch++) {
        const uint32_t *segments = shape->segments ? shape->segments + batch * t : NULL;

        find_first(&w, segments);
        for (kv = kv_first; kv < kv_first + kv_n; kv++) {
            size_t kv_at = batch * t * kv_stride + kv * hd;

            transpose(w.k_t, k + kv_at, kv_stride, t, hd, w.columns);
            transpose(w.v_t, v + kv_at, kv_stride, t, hd, w.columns);
            for (g = 0; g < group; g++) {
                size_t head = kv * group + g, at = batch * t * q_stride + head * hd;
                head_grads h = {.dq = dq ? dq + at : NULL,
                                .dk = dk ? dk + kv_at : NULL,
                                .dv = dv ? dv + kv_at : NULL,
                                .dout = dout + at,
                                .out = out + at,
                                .lse = lse + (batch * shape->heads + head) * t,
                                .q = q + at,
                                .k = k + kv_at};

                head_backward(&w, &h, q_stride, kv_stride, segments);
            }
        }
    }
}

void lcf_attention_backward(float *dq, float *dk, float *dv, const float *dout, const float *out,
                            const float *lse, const float *q, const float *k, const float *v,
                            const lcf_attention_shape *shape, float *scratch)
{
    lcf_attention_backward_part(dq, dk, dv, dout, out, lse, q, k, v, shape, 0, shape->kv_heads,
                                scratch);
}
