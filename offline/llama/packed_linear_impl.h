/*
 * The body of lcf_packed_linear_<level>: included once by each simd_<level>.c, which is compiled
 * with that level's flags and names the function in PACKED_LINEAR.
 *
 * A tile of TILE_ROWS rows by TILE_VECS vectors of outputs stays in registers while `in` runs.
 */
#include "offline/llama/packed_linear.h"

#include <string.h>

#define TILE_VECS 2
#define TILE_OUT (TILE_VECS * VW)
#if VW == 16
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif

/* `rows` is a constant where this is inlined; w points at the tile's outputs in its panel. */
static inline __attribute__((always_inline)) void tile(float *y, size_t ldy, const float *x,
                                                       size_t ldx, const float *w, size_t rows,
                                                       size_t in, bool accumulate)
{
    vec sum[TILE_ROWS][TILE_VECS];

    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < TILE_VECS; v++)
            sum[r][v] = (vec){0};
    for (size_t i = 0; i < in; i++) {
        vec a = *(const vec *)(w + i * LCF_PANEL), b = *(const vec *)(w + i * LCF_PANEL + VW);
        for (size_t r = 0; r < rows; r++) {
            sum[r][0] += x[r * ldx + i] * a;
            sum[r][1] += x[r * ldx + i] * b;
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < TILE_VECS; v++) {
            vec *out = (vec *)(y + r * ldy + v * VW);
            if (accumulate)
                sum[r][v] += *out;
            *out = sum[r][v];
        }
}

/* All rows against one tile of outputs. */
static void column(float *y, size_t ldy, const float *x, size_t ldx, const float *w, size_t n,
                   size_t in, bool accumulate)
{
    size_t r = 0;

    for (; r + TILE_ROWS <= n; r += TILE_ROWS)
        tile(y + r * ldy, ldy, x + r * ldx, ldx, w, TILE_ROWS, in, accumulate);
#if TILE_ROWS > 6
    for (; r + 6 <= n; r += 6)
        tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 6, in, accumulate);
#endif
    for (; r + 3 <= n; r += 3)
        tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 3, in, accumulate);
    for (; r < n; r++)
        tile(y + r * ldy, ldy, x + r * ldx, ldx, w, 1, in, accumulate);
}

/* The last outputs, fewer than a tile: computed whole, copied as far as they go. */
static void last_column(float *y, size_t ldy, const float *x, size_t ldx, const float *w, size_t n,
                        size_t in, size_t out, bool accumulate)
{
    for (size_t r = 0; r < n; r++) {
        float whole[TILE_OUT];
        tile(whole, TILE_OUT, x + r * ldx, ldx, w, 1, in, false);
        for (size_t o = 0; o < out; o++)
            y[r * ldy + o] = accumulate ? y[r * ldy + o] + whole[o] : whole[o];
    }
}

void PACKED_LINEAR(float *y, size_t ldy, const float *x, size_t ldx, const float *packed, size_t n,
                   size_t in, size_t out, bool accumulate)
{
    for (size_t o = 0; o < out; o += TILE_OUT) {
        const float *w = packed + o / LCF_PANEL * LCF_PANEL * in + o % LCF_PANEL;
        if (o + TILE_OUT <= out)
            column(y + o, ldy, x, ldx, w, n, in, accumulate);
        else
            last_column(y + o, ldy, x, ldx, w, n, in, out - o, accumulate);
    }
}
