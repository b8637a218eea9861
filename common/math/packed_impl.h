/*
 * The body of lcf_packed_linear: included by simd_impl.h, which says how it is compiled.
 *
 * A tile of PACKED_ROWS rows by two vectors of outputs stays in registers while `in` runs.
 */
#include "common/math/packed.h"

#define PACKED_OUT (2 * VW) /* outputs of a tile */
#if VW == 16
#define PACKED_ROWS 12
#else
#define PACKED_ROWS 6
#endif

/* `rows` is a constant where this is inlined; w points at the tile's outputs in its panel. */
ALWAYS_INLINE void packed_tile(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                               size_t rows, size_t in, bool accumulate)
{
    vec sum[PACKED_ROWS][2];

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++)
            sum[r][v] = (vec){0};
    for (size_t i = 0; i < in; i++) {
        vec a = *(const vec *)(w + i * LCF_PANEL), b = *(const vec *)(w + i * LCF_PANEL + VW);
        for (size_t r = 0; r < rows; r++) {
            sum[r][0] += x[r * ldx + i] * a;
            sum[r][1] += x[r * ldx + i] * b;
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++) {
            vec *out = (vec *)(y + r * ldy + v * VW);
            if (accumulate)
                sum[r][v] += *out;
            *out = sum[r][v];
        }
}

/* All rows against one tile of outputs. */
static void packed_column(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                          size_t n, size_t in, bool accumulate)
{
    size_t r = 0;

    for (; r + PACKED_ROWS <= n; r += PACKED_ROWS)
        packed_tile(y + r * ldy, ldy, x + r * ldx, ldx, w, PACKED_ROWS, in, accumulate);
#if PACKED_ROWS > 6
    for (; r + 6 <= n; r += 6)
        packed_tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 6, in, accumulate);
#endif
    for (; r + 3 <= n; r += 3)
        packed_tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 3, in, accumulate);
    for (; r < n; r++)
        packed_tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 1, in, accumulate);
}

/* The last outputs, fewer than a tile: computed whole, copied as far as they go. */
static void last_packed_column(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                               size_t n, size_t in, size_t out, bool accumulate)
{
    for (size_t r = 0; r < n; r++) {
        float whole[PACKED_OUT];
        packed_tile(whole, PACKED_OUT, x + r * ldx, ldx, w, 1, in, false);
        for (size_t o = 0; o < out; o++)
            y[r * ldy + o] = accumulate ? y[r * ldy + o] + whole[o] : whole[o];
    }
}

static void impl_packed_linear(float *y, size_t ldy, const float *x, size_t ldx,
                               const float *packed, size_t n, size_t in, size_t out,
                               bool accumulate)
{
    for (size_t o = 0; o < out; o += PACKED_OUT) {
        const float *w = packed + o / LCF_PANEL * LCF_PANEL * in + o % LCF_PANEL;
        if (o + PACKED_OUT <= out)
            packed_column(y + o, ldy, x, ldx, w, n, in, accumulate);
        else
            last_packed_column(y + o, ldy, x, ldx, w, n, in, out - o, accumulate);
    }
}
