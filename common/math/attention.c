/*
 * Causal grouped-query attention, forward and backward, in blocks of query rows. Nothing of size t
 * x t is kept: the backward pass computes the probabilities again from the rows' log sums. In bf16
 * products take rounded operands, all else is f32.
 *
 * Invariant: within a block, columns outside a row's visible range hold exactly 0 in `p` and `ds`.
 */
#include "common/math/bf16.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "common/math/simd.h"

#include <math.h>
#include <string.h>

#define BLOCK_ROWS 32
#define BLOCK_ROWS_BF16 48 /* a multiple of a product's tile */
#define PAD 16             /* floats; a multiple of every vector width */

static size_t rounded_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Keys or values of one head: products with them, and with their transpose. */
typedef struct side {
    const float *rows; /* [t], as they are, `stride` apart */
    size_t stride;
    float *transposed;                        /* f32: [head_dim, columns] */
    uint16_t *row_panels, *transposed_panels; /* bf16: panels of [t, head_dim], [head_dim, t] */
} side;

/* Scratch of one call, cut from the caller's floats. */
typedef struct work {
    const lcf_simd *simd;
    const lcf_attention_shape *shape;
    bool bf16;
    size_t block_rows, pad; /* what a block's columns begin and end at multiples of */
    size_t columns;         /* t padded: row length of everything below */
    side k, v;
    float *p, *ds;    /* [block_rows, columns] */
    uint32_t *first;  /* [t] the earliest visible token of each row */
    uint16_t *left;   /* bf16: rows as operands, [block_rows, columns] or [block_rows, head_dim] */
    uint16_t *turned; /* bf16: [block_rows, columns] in panels */
    uint16_t *right;  /* bf16: panels of [block_rows, head_dim] */
    float *scaled;    /* bf16: [block_rows, head_dim] */
    bool whole;       /* every segment is one run: what is visible is first[i] .. i */
    float scale;
} work;

/* One block of query rows of one head: rows [row0, row0 + rows), columns [low, high), padded to
 * `end`. */
typedef struct block {
    size_t row0, rows, low, high, end;
} block;

/* The caller's floats; without them they are only counted. */
typedef struct cutter {
    float *at;
    size_t n;
} cutter;

static void *cut(cutter *c, size_t n)
{
    float *at = c->at ? c->at + c->n : NULL;

    c->n += rounded_up(n, PAD);
    return at;
}

static void *cut_bf16(cutter *c, size_t n)
{
    return cut(c, (n + 1) / 2);
}

static void cut_side(side *s, cutter *c, const work *w)
{
    const size_t t = w->shape->t, hd = w->shape->head_dim;

    if (!w->bf16) {
        s->transposed = cut(c, hd * w->columns);
        return;
    }
    s->row_panels = cut_bf16(c, lcf_right_n(LCF_PRECISION_BF16, t, hd));
    s->transposed_panels = cut_bf16(c, lcf_right_n(LCF_PRECISION_BF16, hd, t));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static work work_cut(const lcf_attention_shape *shape, cutter *c)
{
    const bool bf16 = shape->precision == LCF_PRECISION_BF16;
    const size_t hd = shape->head_dim, rows = bf16 ? BLOCK_ROWS_BF16 : BLOCK_ROWS;
    const size_t pad = bf16 ? LCF_PANEL : PAD;
    work w = {.simd = lcf_simd_get(),
              .shape = shape,
              .bf16 = bf16,
              .block_rows = rows,
              .pad = pad,
              .columns = rounded_up(shape->t, pad),
              .whole = true,
              .scale = 1.0f / sqrtf((float)hd)};

    cut_side(&w.k, c, &w);
    cut_side(&w.v, c, &w);
    w.p = cut(c, w.columns * rows);
    w.ds = cut(c, w.columns * rows);
    w.first = cut(c, w.columns);
    if (!bf16)
        return w;
    w.left = cut_bf16(c, rows * larger(w.columns, hd + hd % 2));
    w.turned = cut_bf16(c, rows * w.columns);
    w.right = cut_bf16(c, lcf_right_n(LCF_PRECISION_BF16, rows, hd));
    w.scaled = cut(c, rows * hd);
    return w;
}

size_t lcf_attention_scratch_n(const lcf_attention_shape *shape)
{
    cutter count = {NULL, 0};

    work_cut(shape, &count);
    return count.n;
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

static block block_at(const work *w, size_t row0)
{
    block b = {.row0 = row0, .rows = w->shape->t - row0};
    size_t i, low;

    if (b.rows > w->block_rows)
        b.rows = w->block_rows;
    low = w->first[row0];
    for (i = row0; i < row0 + b.rows; i++)
        low = w->first[i] < low ? w->first[i] : low;
    b.low = low / w->pad * w->pad;
    b.high = row0 + b.rows;
    b.end = rounded_up(b.high, w->pad);
    return b;
}

/* ---- products ---- */

/* The head whose rows of x these are. with_rows: products with the rows themselves are wanted. */
static void take_side(const work *w, side *s, const float *x, size_t stride, bool with_rows)
{
    const size_t t = w->shape->t, hd = w->shape->head_dim;

    s->rows = x;
    s->stride = stride;
    if (!w->bf16) {
        for (size_t d = 0; d < hd; d++)
            memset(s->transposed + d * w->columns + t, 0, (w->columns - t) * sizeof(float));
        w->simd->transpose(s->transposed, w->columns, x, stride, t, hd);
        return;
    }
    lcf_right(LCF_PRECISION_BF16, s->transposed_panels, x, stride, true, hd, t);
    if (with_rows)
        lcf_right(LCF_PRECISION_BF16, s->row_panels, x, stride, false, t, hd);
}

/* out [rows, columns low .. end] = scale * x S^T, x [rows, head_dim] */
static void against(const work *w, const block *b, float *out, const float *x, size_t stride,
                    const side *s, float scale)
{
    const size_t hd = w->shape->head_dim, even = hd + hd % 2;

    if (!w->bf16) {
        w->simd->tile_gemm(out + b->low, w->columns, x, stride, 1, s->transposed + b->low,
                           w->columns, b->rows, b->end - b->low, hd, scale, false);
        return;
    }
    for (size_t r = 0; r < b->rows; r++)
        for (size_t d = 0; d < hd; d++)
            w->scaled[r * hd + d] = scale * x[r * stride + d];
    lcf_left(LCF_PRECISION_BF16, w->left, even, w->scaled, hd, b->rows, hd);
    lcf_product(LCF_PRECISION_BF16, out + b->low, w->columns, w->left, even,
                s->transposed_panels + b->low * even, b->rows, b->end - b->low, hd, false);
}

/* What `weigh` and `spread` are about: a block's weights x [rows, columns low .. end]. */
static void hold(const work *w, const block *b, const float *x)
{
    if (w->bf16)
        lcf_left(LCF_PRECISION_BF16, w->left, w->columns, x + b->low, w->columns, b->rows,
                 b->end - b->low);
}

/* y [rows, head_dim] (+)= x S */
static void weigh(const work *w, const block *b, float *y, size_t stride, const float *x,
                  const side *s, bool add)
{
    const size_t hd = w->shape->head_dim, t = w->shape->t, seen = b->high - b->low;
    const lcf_bf16_end end = {.c = y, .c_ld = stride, .onto = add ? y : NULL, .onto_ld = stride};

    if (!w->bf16) {
        w->simd->tile_gemm(y, stride, x + b->low, w->columns, 1, s->rows + b->low * s->stride,
                           s->stride, b->rows, hd, seen, 1.0f, add);
        return;
    }
    for (size_t at = 0; at < hd; at += LCF_PANEL)
        lcf_bf16_get()->product(&end, at, w->left, w->columns,
                                s->row_panels + at * (t + t % 2) + b->low * LCF_PANEL, b->rows,
                                hd - at < LCF_PANEL ? hd - at : LCF_PANEL, seen + seen % 2);
}

/* dS [tokens low .. high, head_dim] += x^T y, y [rows, head_dim] */
static void spread(const work *w, const block *b, float *ds, size_t ds_stride, const float *x,
                   const float *y, size_t y_stride)
{
    const size_t hd = w->shape->head_dim, seen = b->high - b->low;
    float *to = ds + b->low * ds_stride;

    if (!w->bf16) {
        w->simd->tile_gemm(to, ds_stride, x + b->low, 1, w->columns, y, y_stride, seen, hd, b->rows,
                           1.0f, true);
        return;
    }
    lcf_bf16_panels_of_left(w->turned, w->left, w->columns, b->rows, b->end - b->low);
    lcf_right(LCF_PRECISION_BF16, w->right, y, y_stride, false, b->rows, hd);
    lcf_bf16_across(to, ds_stride, w->turned, w->right, seen, hd, b->rows, true);
}

/* ---- forward ---- */

/* Zeros in row r of x outside what token `i` sees. */
static void clear_unseen(const work *w, const block *b, float *x, size_t i)
{
    memset(x + b->low, 0, (w->first[i] - b->low) * sizeof(*x));
    memset(x + i + 1, 0, (b->end - i - 1) * sizeof(*x));
}

/* Scores in tokens of other segments to -inf, where segments interleave. */
static void mask_segments(const work *w, float *row, const uint32_t *segments, size_t i)
{
    size_t j;

    for (j = w->first[i]; j < i && !w->whole; j++)
        if (segments[j] != segments[i])
            row[j] = -INFINITY;
}

static void head_forward(const work *w, float *out, float *lse, const float *q, size_t q_stride,
                         const uint32_t *segments)
{
    size_t row0, r;

    for (row0 = 0; row0 < w->shape->t; row0 += w->block_rows) {
        block b = block_at(w, row0);

        against(w, &b, w->p, q + row0 * q_stride, q_stride, &w->k, w->scale);
        for (r = 0; r < b.rows; r++) {
            size_t i = row0 + r, first = w->first[i];
            float *row = w->p + r * w->columns;

            mask_segments(w, row, segments, i);
            lse[i] = w->simd->softmax_row(row + first, i + 1 - first);
            clear_unseen(w, &b, row, i);
        }
        hold(w, &b, w->p);
        weigh(w, &b, out + row0 * q_stride, q_stride, w->p, &w->v, false);
    }
}

void lcf_attention_part(float *out, float *lse, const float *q, const float *k, const float *v,
                        const lcf_attention_shape *shape, size_t kv_first, size_t kv_n,
                        float *scratch)
{
    size_t group = shape->heads / shape->kv_heads, hd = shape->head_dim, t = shape->t;
    size_t q_stride = shape->heads * hd, kv_stride = shape->kv_heads * hd, batch, kv, g;
    work w = work_cut(shape, &(cutter){scratch, 0});

    for (batch = 0; batch < shape->batch; batch++) {
        const uint32_t *segments = shape->segments ? shape->segments + batch * t : NULL;
        const float *kb = k + batch * t * kv_stride, *vb = v + batch * t * kv_stride;

        find_first(&w, segments);
        for (kv = kv_first; kv < kv_first + kv_n; kv++) {
            take_side(&w, &w.k, kb + kv * hd, kv_stride, false);
            take_side(&w, &w.v, vb + kv * hd, kv_stride, true);
            for (g = 0; g < group; g++) {
                size_t h = kv * group + g, at = batch * t * q_stride + h * hd;

                head_forward(&w, out + at, lse + (batch * shape->heads + h) * t, q + at, q_stride,
                             segments);
            }
        }
    }
}

void lcf_attention(float *out, float *lse, const float *q, const float *k, const float *v,
                   const lcf_attention_shape *shape, float *scratch)
{
    lcf_attention_part(out, lse, q, k, v, shape, 0, shape->kv_heads, scratch);
}

/* ---- backward ---- */

/* The tensors of one head in the backward pass, each at its first element. */
typedef struct head_grads {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse, *q;
} head_grads;

/* p = probabilities again; ds = gradient of the scores. */
static void block_backward_scores(const work *w, const block *b, const head_grads *h,
                                  size_t q_stride, const uint32_t *segments)
{
    const size_t hd = w->shape->head_dim, at = b->row0 * q_stride;
    size_t r;

    against(w, b, w->p, h->q + at, q_stride, &w->k, w->scale);
    against(w, b, w->ds, h->dout + at, q_stride, &w->v, 1.0f);
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
    for (size_t row0 = 0; row0 < w->shape->t; row0 += w->block_rows) {
        const block b = block_at(w, row0);
        const size_t at = row0 * q_stride;

        block_backward_scores(w, &b, h, q_stride, segments);
        hold(w, &b, w->ds);
        if (h->dq)
            weigh(w, &b, h->dq + at, q_stride, w->ds, &w->k, true);
        if (h->dk)
            spread(w, &b, h->dk, kv_stride, w->ds, h->q + at, q_stride);
        if (!h->dv)
            continue;
        hold(w, &b, w->p);
        spread(w, &b, h->dv, kv_stride, w->p, h->dout + at, q_stride);
    }
}

void lcf_attention_backward_part(float *dq, float *dk, float *dv, const float *dout,
                                 const float *out, const float *lse, const float *q, const float *k,
                                 const float *v, const lcf_attention_shape *shape, size_t kv_first,
                                 size_t kv_n, float *scratch)
{
    size_t group = shape->heads / shape->kv_heads, hd = shape->head_dim, t = shape->t;
    size_t q_stride = shape->heads * hd, kv_stride = shape->kv_heads * hd, batch, kv, g;
    work w = work_cut(shape, &(cutter){scratch, 0});

    for (batch = 0; batch < shape->batch; batch++) {
        const uint32_t *segments = shape->segments ? shape->segments + batch * t : NULL;

        find_first(&w, segments);
        for (kv = kv_first; kv < kv_first + kv_n; kv++) {
            size_t kv_at = batch * t * kv_stride + kv * hd;

            take_side(&w, &w.k, k + kv_at, kv_stride, true);
            take_side(&w, &w.v, v + kv_at, kv_stride, false);
            for (g = 0; g < group; g++) {
                size_t head = kv * group + g, at = batch * t * q_stride + head * hd;
                head_grads h = {.dq = dq ? dq + at : NULL,
                                .dk = dk ? dk + kv_at : NULL,
                                .dv = dv ? dv + kv_at : NULL,
                                .dout = dout + at,
                                .out = out + at,
                                .lse = lse + (batch * shape->heads + head) * t,
                                .q = q + at};

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
