/*
 * The body of amx_bf16.h, which the including file names by AMX_BF16_PRODUCT. A block of up to 32
 * rows and 32 columns of C stays in four tiles while k runs:
 *
 *                      B: 6 7
 *     A: 4    rows 0 - 15  C: 0 1
 *        5   rows 16 - 31     2 3
 *
 * A block of up to 16 rows has 5, 2 and 3 alone, so that one number says how tiles are configured:
 * the rows of these three.
 */
#include "common/math/amx.h"
#include "common/math/amx_bf16.h"

#include <string.h>

enum { HALF = 16, BLOCK = 2 * HALF, DEPTH = 32 }; /* of C; k of a tile */

#define CONFIG(rows)                                 \
    {                                                \
        1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, \
        {                                            \
            16, 16, rows, rows, 16, rows, 16, 16     \
        }                                            \
    }

static const lcf_tile_config CONFIGS[HALF] = {
    CONFIG(1), CONFIG(2),  CONFIG(3),  CONFIG(4),  CONFIG(5),  CONFIG(6),  CONFIG(7),  CONFIG(8),
    CONFIG(9), CONFIG(10), CONFIG(11), CONFIG(12), CONFIG(13), CONFIG(14), CONFIG(15), CONFIG(16),
};

/* Where the next tiles of a block come from. */
typedef struct block {
    const unsigned char *a, *b;
    size_t rows;
    bool first; /* the first block of rows meets B in memory, the others in a cache */
} block;

/* Asks memory for the lines of both halves of B that will be read `ahead` bytes further on. */
static void ask_ahead(const lcf_amx_bf16 *p, const unsigned char *b, size_t second)
{
    for (size_t i = 0; i < HALF; i++) {
        __builtin_prefetch(b + p->b_ahead + i * p->b_row, 0, 2);
        __builtin_prefetch(b + second + p->b_ahead + i * p->b_row, 0, 2);
    }
}

/* C += A B for `steps` times 32 k. */
static void add_steps(const lcf_amx_bf16 *p, const block *at, size_t steps)
{
    const unsigned char *a = at->a, *b = at->b;
    const size_t second =
        p->n > HALF ? p->b_second : 0; /* without a second half: the first again */

    for (size_t i = 0; i < steps; i++, a += p->a_step, b += p->b_step) {
        if (at->first && p->b_ahead)
            ask_ahead(p, b, second);
        TILE_LOAD(6, b, p->b_row);
        TILE_LOAD(7, b + second, p->b_row);
        if (at->rows <= HALF) {
            TILE_LOAD(5, a, p->a_row);
        } else {
            TILE_LOAD(4, a, p->a_row);
            TILE_DOT_BF16(0, 4, 6);
            TILE_DOT_BF16(1, 4, 7);
            TILE_LOAD(5, a + p->a_group, p->a_row);
        }
        TILE_DOT_BF16(2, 5, 6);
        TILE_DOT_BF16(3, 5, 7);
    }
}

/* The last k, fewer than 32: filled up with zeros beside. */
static void add_rest(const lcf_amx_bf16 *p, const block *at, size_t k)
{
    unsigned char a[BLOCK][2 * DEPTH] = {{0}}, b[2][DEPTH / 2][4 * HALF] = {{{0}}};
    const block rest = {a[0], b[0][0], at->rows, false};
    lcf_amx_bf16 beside = *p;

    for (size_t r = 0; r < at->rows; r++)
        memcpy(a[r], at->a + r / HALF * p->a_group + r % HALF * p->a_row, 2 * k);
    for (size_t i = 0; i < k / 2; i++) {
        memcpy(b[0][i], at->b + i * p->b_row, sizeof(b[0][i]));
        if (p->n > HALF)
            memcpy(b[1][i], at->b + p->b_second + i * p->b_row, sizeof(b[1][i]));
    }
    beside.a_row = sizeof(a[0]);
    beside.a_group = HALF * sizeof(a[0]);
    beside.b_row = sizeof(b[0][0]);
    beside.b_second = sizeof(b[0]);
    add_steps(&beside, &rest, 1);
}

/* n is a constant where it is the usual one. */
static inline __attribute__((always_inline)) void
store_columns(const lcf_amx_bf16 *p, float *c, const float *sums, size_t rows, const size_t n)
{
    for (size_t r = 0; r < rows; r++, c += p->ldc, sums += BLOCK)
        for (size_t j = 0; j < n; j++)
            c[j] = p->add ? c[j] + sums[j] : sums[j];
}

static void store_rows(const lcf_amx_bf16 *p, float *c, const float *sums, size_t rows)
{
    if (p->n == BLOCK)
        store_columns(p, c, sums, rows, BLOCK);
    else
        store_columns(p, c, sums, rows, p->n);
}

static void multiply_block(const lcf_amx_bf16 *p, float *c, block at)
{
    const size_t steps = p->k / DEPTH;
    float sums[BLOCK * BLOCK];

    TILE_ZERO(2);
    TILE_ZERO(3);
    if (at.rows > HALF) {
        TILE_ZERO(0);
        TILE_ZERO(1);
    }
    add_steps(p, &at, steps);
    at.a += steps * p->a_step;
    at.b += steps * p->b_step;
    if (p->k % DEPTH)
        add_rest(p, &at, p->k % DEPTH);
    if (at.rows > HALF) {
        TILE_STORE(0, sums, BLOCK * sizeof(*sums));
        TILE_STORE(1, sums + HALF, BLOCK * sizeof(*sums));
        TILE_STORE(2, sums + HALF * BLOCK, BLOCK * sizeof(*sums));
        TILE_STORE(3, sums + HALF * BLOCK + HALF, BLOCK * sizeof(*sums));
    } else {
        TILE_STORE(2, sums, BLOCK * sizeof(*sums));
        TILE_STORE(3, sums + HALF, BLOCK * sizeof(*sums));
    }
    store_rows(p, c, sums, at.rows);
}

void AMX_BF16_PRODUCT(const lcf_amx_bf16 *p)
{
    size_t configured = 0;

    for (size_t r = 0; r < p->m; r += BLOCK) {
        const size_t rows = p->m - r < BLOCK ? p->m - r : BLOCK;
        const size_t last = rows > HALF ? rows - HALF : rows;
        const unsigned char *a = (const unsigned char *)p->a + r / HALF * p->a_group;

        if (last != configured)
            TILE_CONFIGURE(&CONFIGS[last - 1]);
        configured = last;
        multiply_block(p, p->c + r * p->ldc, (block){a, p->b, rows, r == 0});
    }
    TILE_RELEASE();
}
