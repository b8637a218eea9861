/*
 * The body of lcf_packed_linear: included by simd_impl.h, which says how it is compiled.
 *
 * A tile of PACKED_ROWS rows by one or two vectors of outputs stays in registers while `in` runs.
 */
#include "common/math/packed.h"

#define PACKED_OUT (2 * VW) /* outputs of a tile */
#if VW == 16
#define PACKED_ROWS 12
#else
#define PACKED_ROWS 6
#endif

/* What one call is about. */
typedef struct packed_call {
    size_t ldy, ldx, in;
    unsigned flags;
} packed_call;

ALWAYS_INLINE vec vec_relu(vec v)
{
    return (vec)((ivec)v & (v > (vec){0}));
}

/* `rows` and `vecs` are constants where this is inlined; w points at the tile's outputs in its
 * panel, bias at theirs or is NULL. */
ALWAYS_INLINE void packed_tile(const packed_call *call, float *y, const float *x, const float *w,
                               const float *bias, const size_t rows, const size_t vecs)
{
    vec sum[PACKED_ROWS][2];
    size_t i, r, v;

    for (r = 0; r < rows; r++)
        for (v = 0; v < vecs; v++)
            sum[r][v] = bias ? *(const vec *)(bias + v * VW) : (vec){0};
    for (i = 0; i < call->in; i++) {
        vec wv[2];

        for (v = 0; v < vecs; v++)
            wv[v] = *(const vec *)(w + i * LCF_PANEL + v * VW);
        for (r = 0; r < rows; r++)
            for (v = 0; v < vecs; v++)
                sum[r][v] += x[r * call->ldx + i] * wv[v];
    }
    if (call->flags & LCF_PACKED_ADD)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (v = 0; v < vecs; v++)
                sum[r][v] += *(const vec *)(y + r * call->ldy + v * VW);
    if (call->flags & LCF_PACKED_RELU)
#pragma GCC unroll 12
        for (r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (v = 0; v < vecs; v++)
                sum[r][v] = vec_relu(sum[r][v]);
#pragma GCC unroll 12
    for (r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (v = 0; v < vecs; v++)
            *(vec *)(y + r * call->ldy + v * VW) = sum[r][v];
}

/* n rows against one tile of outputs. */
ALWAYS_INLINE void packed_column(const packed_call *call, float *y, const float *x, const float *w,
                                 const float *bias, size_t n, const size_t vecs)
{
    size_t r = 0;

    for (; r + PACKED_ROWS <= n; r += PACKED_ROWS)
        packed_tile(call, y + r * call->ldy, x + r * call->ldx, w, bias, PACKED_ROWS, vecs);
#if PACKED_ROWS > 6
    for (; r + 6 <= n; r += 6)
        packed_tile(call, y + r * call->ldy, x + r * call->ldx, w, bias, 6, vecs);
#endif
    for (; r + 3 <= n; r += 3)
        packed_tile(call, y + r * call->ldy, x + r * call->ldx, w, bias, 3, vecs);
    for (; r < n; r++)
        packed_tile(call, y + r * call->ldy, x + r * call->ldx, w, bias, 1, vecs);
}

static void packed_wide(const packed_call *call, float *y, const float *x, const float *w,
                        const float *bias, size_t n)
{
    packed_column(call, y, x, w, bias, n, 2);
}

static void packed_narrow(const packed_call *call, float *y, const float *x, const float *w,
                          const float *bias, size_t n)
{
    packed_column(call, y, x, w, bias, n, 1);
}

/* The last outputs, fewer than a tile: computed whole in a block beside, some rows at a time. */
static void packed_last(const packed_call *call, float *y, const float *x, const float *w,
                        const float *bias, size_t n, size_t out)
{
    float block[PACKED_ROWS * PACKED_OUT], padded[PACKED_OUT] = {0};
    const packed_call beside = {PACKED_OUT, call->ldx, call->in, call->flags};
    size_t at, r;

    if (bias)
        memcpy(padded, bias, out * sizeof(*bias));
    memset(block, 0, sizeof(block)); /* what flags may read is not always written */
    for (at = 0; at < n; at += PACKED_ROWS) {
        const size_t rows = n - at < PACKED_ROWS ? n - at : PACKED_ROWS;

        for (r = 0; r < rows && call->flags & LCF_PACKED_ADD; r++)
            memcpy(block + r * PACKED_OUT, y + (at + r) * call->ldy, out * sizeof(*y));
        if (out > VW)
            packed_wide(&beside, block, x + at * call->ldx, w, padded, rows);
        else
            packed_narrow(&beside, block, x + at * call->ldx, w, padded, rows);
        for (r = 0; r < rows; r++)
            memcpy(y + (at + r) * call->ldy, block + r * PACKED_OUT, out * sizeof(*y));
    }
}

static void impl_packed_linear(float *y, size_t ldy, const float *x, size_t ldx,
                               const float *packed, const float *bias, size_t n, size_t in,
                               size_t out, unsigned flags)
{
    const packed_call call = {ldy, ldx, in, flags};
    size_t o;

    for (o = 0; o < out; o += PACKED_OUT) {
        const float *w = packed + o / LCF_PANEL * LCF_PANEL * in + o % LCF_PANEL;
        const float *b = bias ? bias + o : NULL;

        if (o + PACKED_OUT <= out)
            packed_wide(&call, y + o, x, w, b, n);
        else if (o + VW == out)
            packed_narrow(&call, y + o, x, w, b, n);
        else
            packed_last(&call, y + o, x, w, b, n, out - o);
    }
}
