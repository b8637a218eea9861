/*
 * What the tile instructions do, in plain C, each after the pseudo-code of its page in Intel's
 * manual. Each thread has its own tiles, as on the processor.
 *
 * Invariant: bytes of a tile beyond its configured rows and columns are 0.
 */
#include "common/base/status.h"
#include "common/math/amx.h"
#include "common/math/half.h"

#include <math.h>
#include <string.h>

typedef union tile {
    uint8_t bytes[LCF_TILE_ROWS][LCF_TILE_ROW_BYTES];
    uint16_t halves[LCF_TILE_ROWS][LCF_TILE_ROW_BYTES / 2];
    int32_t ints[LCF_TILE_ROWS][LCF_TILE_ROW_BYTES / 4];
    float floats[LCF_TILE_ROWS][LCF_TILE_ROW_BYTES / 4];
} tile;

static _Thread_local lcf_tile_config config; /* palette 0: nothing is configured */
static _Thread_local tile tiles[LCF_TILES_N];

void lcf_tile_configure(const lcf_tile_config *wanted)
{
    static const lcf_tile_config none;

    LCF_ASSERT(wanted->palette == 1 && wanted->start_row == 0);
    LCF_ASSERT(!memcmp(wanted->reserved, none.reserved, sizeof(none.reserved)));
    for (size_t t = 0; t < LCF_TILE_ROWS; t++) {
        LCF_ASSERT(wanted->rows[t] <= LCF_TILE_ROWS);
        LCF_ASSERT(wanted->row_bytes[t] <= LCF_TILE_ROW_BYTES);
        LCF_ASSERT(!wanted->rows[t] == !wanted->row_bytes[t]);
        LCF_ASSERT(t < LCF_TILES_N || !wanted->rows[t]);
    }
    config = *wanted;
    memset(tiles, 0, sizeof(tiles));
}

void lcf_tile_release(void)
{
    memset(&config, 0, sizeof(config));
    memset(tiles, 0, sizeof(tiles));
}

static bool is_configured(size_t t)
{
    return config.palette && t < LCF_TILES_N && config.rows[t];
}

void lcf_tile_zero(size_t t)
{
    LCF_ASSERT(is_configured(t));
    memset(&tiles[t], 0, sizeof(tiles[t]));
}

void lcf_tile_load(size_t t, const void *from, size_t stride)
{
    lcf_tile_zero(t);
    for (size_t m = 0; m < config.rows[t]; m++)
        memcpy(tiles[t].bytes[m], (const unsigned char *)from + m * stride, config.row_bytes[t]);
}

void lcf_tile_store(size_t t, void *to, size_t stride)
{
    LCF_ASSERT(is_configured(t));
    for (size_t m = 0; m < config.rows[t]; m++)
        memcpy((unsigned char *)to + m * stride, tiles[t].bytes[m], config.row_bytes[t]);
}

/* The shapes of c [m, n], a [m, k] and b [k, n], in elements of 4 bytes. */
static void check_shapes(size_t c, size_t a, size_t b)
{
    LCF_ASSERT(c != a && c != b && a != b);
    LCF_ASSERT(is_configured(c) && is_configured(a) && is_configured(b));
    LCF_ASSERT(config.row_bytes[c] % 4 == 0 && config.row_bytes[a] % 4 == 0);
    LCF_ASSERT(config.rows[c] == config.rows[a]);
    LCF_ASSERT(config.row_bytes[a] / 4 == config.rows[b]);
    LCF_ASSERT(config.row_bytes[c] == config.row_bytes[b]);
}

/* TDPBSUD */
void lcf_tile_dot_bytes(size_t c, size_t a, size_t b)
{
    check_shapes(c, a, b);
    for (size_t m = 0; m < config.rows[c]; m++)
        for (size_t k = 0; k < config.rows[b]; k++)
            for (size_t n = 0; n < config.row_bytes[c] / 4u; n++) {
                uint32_t sum = (uint32_t)tiles[c].ints[m][n]; /* wraps around */

                for (size_t i = 0; i < 4; i++)
                    sum += (uint32_t)((int8_t)tiles[a].bytes[m][4 * k + i] *
                                      tiles[b].bytes[k][4 * n + i]);
                tiles[c].ints[m][n] = (int32_t)sum;
            }
}

static float without_denormals(float x)
{
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x;
}

enum { HALVES = LCF_TILE_ROW_BYTES / 2 };

static void widen(float wide[LCF_TILE_ROWS][HALVES], const tile *t)
{
    for (size_t r = 0; r < LCF_TILE_ROWS; r++)
        for (size_t i = 0; i < HALVES; i++)
            wide[r][i] = without_denormals(lcf_bf16_widen(t->halves[r][i]));
}

/* A result that is exactly `exact`, rounded: 0 where it would be a denormal were the exponent not
 * limited. That is asked after rounding, so that a little less than the least normal is one. */
static float rounded(float x, double exact)
{
    return fabs(exact) < 0x1p-126 - 0x1p-151 ? copysignf(0, x) : x;
}

static float multiply_add(float a, float b, float sum)
{
    return rounded(fmaf(a, b, sum), (double)a * b + sum);
}

static float add(float a, float b)
{
    return rounded(a + b, (double)a + b);
}

/* TDPBF16PS */
void lcf_tile_dot_bf16(size_t c, size_t a, size_t b)
{
    float x[LCF_TILE_ROWS][HALVES], y[LCF_TILE_ROWS][HALVES];

    check_shapes(c, a, b);
    widen(x, &tiles[a]);
    widen(y, &tiles[b]);
    for (size_t m = 0; m < config.rows[c]; m++)
        for (size_t n = 0; n < config.row_bytes[c] / 4u; n++) {
            float even = 0, odd = 0;

            for (size_t k = 0; k < config.rows[b]; k++) {
                even = multiply_add(x[m][2 * k], y[k][2 * n], even);
                odd = multiply_add(x[m][2 * k + 1], y[k][2 * n + 1], odd);
            }
            tiles[c].floats[m][n] = add(without_denormals(tiles[c].floats[m][n]), add(even, odd));
        }
}
