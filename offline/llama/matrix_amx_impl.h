/*
 * The body of the matrix kernels for AMX, which the including file names by AMX(name): once in the
 * instructions, once in their emulation. Between the products of tiles both run AVX-512.
 *
 * Blocks of integers have a scale each, so a tile of products is one block of 32 deep; its sums
 * leave the tile, are scaled and join the totals of 16 rows and 16 outputs in registers, as in the
 * kernels for vectors, whose bits these are. Two blocks are under way at a time, since a tile is
 * complete long after it was asked for.
 */
#include "common/math/amx.h"
#include "common/math/amx_bf16.h"
#include "offline/llama/matrix.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum {
    LINE = 64,
    GROUPS = LCF_MATRIX_BLOCK / 4, /* of four components: rows of a tile of weights */
    ROWS = LCF_MATRIX_AMX_TILE,
    SUMS = ROWS * LCF_MATRIX_PANEL,
    AHEAD = 4096, /* bytes of weights that memory is asked for in advance */
};

/* Two sets of sums, activations and weights. */
#define CONFIG(n)                            \
    {                                        \
        1, 0, {0}, {64, 32, 64, 64, 32, 64}, \
        {                                    \
            n, n, GROUPS, n, n, GROUPS       \
        }                                    \
    }

static const lcf_tile_config CONFIGS[ROWS] = {
    CONFIG(1), CONFIG(2),  CONFIG(3),  CONFIG(4),  CONFIG(5),  CONFIG(6),  CONFIG(7),  CONFIG(8),
    CONFIG(9), CONFIG(10), CONFIG(11), CONFIG(12), CONFIG(13), CONFIG(14), CONFIG(15), CONFIG(16),
};

typedef struct panel { /* of weights, against one tile of activations */
    const unsigned char *scales, *weights, *tile;
    size_t blocks_n, block_bytes; /* of weights */
    bool first;                   /* tile: the others find the weights in a cache */
} panel;

/* Room for two blocks. */
typedef struct room {
    _Alignas(LINE) int32_t sums[2][SUMS];
    _Alignas(LINE) unsigned char weights[2][GROUPS * LINE];
} room;

/* The weights of block i as u8, offset by the type's zero, [GROUPS][LCF_MATRIX_PANEL][4]. */
typedef const unsigned char *(*unpack)(const panel *p, size_t i, unsigned char *to);

INLINE const unsigned char *unpack_q8(const panel *p, size_t i, unsigned char *to)
{
    (void)to;
    return p->weights + i * p->block_bytes;
}

INLINE const unsigned char *unpack_q4(const panel *p, size_t i, unsigned char *to)
{
    const unsigned char *from = p->weights + i * p->block_bytes;
    const __m512i nibble = _mm512_set1_epi8(15);

    for (size_t g = 0; g < GROUPS / 2; g++) {
        __m512i both = _mm512_load_si512(from + g * LINE);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        _mm512_store_si512(to + g * LINE, _mm512_and_si512(both, nibble));
        _mm512_store_si512(to + (g + GROUPS / 2) * LINE, high);
    }
    return to;
}

/* A block of activations: see matrix.h. */
INLINE const unsigned char *activations(const panel *p, size_t i)
{
    return p->tile + i * LCF_MATRIX_AMX_BLOCK_BYTES;
}

#define MULTIPLY_BLOCK(c, a, b, at, from, to)                  \
    do {                                                       \
        TILE_ZERO(c);                                          \
        TILE_LOAD(a, at, LCF_MATRIX_BLOCK);                    \
        TILE_LOAD(b, from, LINE);                              \
        TILE_DOT_BYTES(c, a, b);                               \
        TILE_STORE(c, to, LCF_MATRIX_PANEL * sizeof(int32_t)); \
    } while (0)

/* totals += sums of one block, times both scales; rows is a constant */
INLINE void add_block(__m512 *totals, const panel *p, size_t i, const int32_t *sums,
                      const size_t rows)
{
    const int32_t *offsets = (const int32_t *)(activations(p, i) + ROWS * LCF_MATRIX_BLOCK);
    const float *scales = (const float *)(offsets + ROWS);
    const __m256i halves = _mm256_load_si256((const __m256i *)(p->scales + i * LINE / 2));
    const __m512 weight_scales = _mm512_cvtph_ps(halves);

#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++) {
        __m512i sum = _mm512_load_si512(sums + r * LCF_MATRIX_PANEL);
        sum = _mm512_add_epi32(sum, _mm512_set1_epi32(offsets[r]));
        totals[r] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                            _mm512_mul_ps(weight_scales, _mm512_set1_ps(scales[r])), totals[r]);
    }
}

INLINE void ask_ahead(const panel *p, size_t i)
{
    const unsigned char *next = p->weights + i * p->block_bytes + AHEAD;

    for (size_t line = 0; line < 2 * p->block_bytes; line += LINE)
        __builtin_prefetch(next + line, 0, 2);
}

/* The rows of a result that there are, of 16 outputs. */
typedef struct result {
    float *y;
    size_t ldy, rows;
    __mmask16 lanes;
    bool add;
} result;

INLINE void store_row(const result *to, size_t r, __m512 sum)
{
    float *y = to->y + r * to->ldy;

    if (to->add)
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(to->lanes, y), sum);
    _mm512_mask_storeu_ps(y, to->lanes, sum);
}

/* rows is a constant, at least those that there are: totals stay in registers, and in all loops
 * over them a row's number is a constant too. */
INLINE void multiply_rows(const result *to, const panel *p, room *at, unpack weights,
                          const size_t rows)
{
    __m512 totals[ROWS];

#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
        totals[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < p->blocks_n; i += 2) {
        const bool both = i + 1 < p->blocks_n;

        if (p->first)
            ask_ahead(p, i);
        MULTIPLY_BLOCK(0, 1, 2, activations(p, i), weights(p, i, at->weights[0]), at->sums[0]);
        if (both)
            MULTIPLY_BLOCK(3, 4, 5, activations(p, i + 1), weights(p, i + 1, at->weights[1]),
                           at->sums[1]);
        add_block(totals, p, i, at->sums[0], rows);
        if (both)
            add_block(totals, p, i + 1, at->sums[1], rows);
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < rows; r++)
        if (r < to->rows)
            store_row(to, r, totals[r]);
}

INLINE void multiply_tile(const result *to, const panel *p, room *at, unpack weights)
{
    if (to->rows > 8)
        multiply_rows(to, p, at, weights, ROWS);
    else if (to->rows > 4)
        multiply_rows(to, p, at, weights, 8);
    else if (to->rows > 1)
        multiply_rows(to, p, at, weights, 4);
    else
        multiply_rows(to, p, at, weights, 1);
}

static size_t lanes_of(const lcf_matrix *w, size_t panel_idx)
{
    const size_t left = w->out - panel_idx * LCF_MATRIX_PANEL;

    return left < LCF_MATRIX_PANEL ? left : LCF_MATRIX_PANEL;
}

INLINE void multiply_integers(const lcf_matrix_range *job, size_t block_bytes, unpack weights)
{
    const lcf_matrix *w = job->w;
    const size_t tile_bytes = w->in / LCF_MATRIX_BLOCK * LCF_MATRIX_AMX_BLOCK_BYTES;
    size_t configured = 0;
    room at;

    memset(at.sums, 0, sizeof(at.sums)); /* rows that no tile has are added, and not stored */
    for (size_t i = job->begin; i < job->end; i++) {
        panel p = {.scales = w->data + i * w->panel_bytes,
                   .blocks_n = w->in / LCF_MATRIX_BLOCK,
                   .block_bytes = block_bytes};
        const __mmask16 lanes = (__mmask16)((1u << lanes_of(w, i)) - 1);
        p.weights = p.scales + lcf_matrix_scale_bytes(w->in);
        for (size_t r = 0; r < job->n; r += ROWS) {
            const size_t rows = job->n - r < ROWS ? job->n - r : ROWS;
            if (rows != configured)
                TILE_CONFIGURE(&CONFIGS[rows - 1]);
            configured = rows;
            p.first = r == 0;
            p.tile = job->tiles + r / ROWS * tile_bytes;
            multiply_tile(&(result){job->y + r * job->ldy + i * LCF_MATRIX_PANEL, job->ldy, rows,
                                    lanes, job->add},
                          &p, &at, weights);
        }
    }
    TILE_RELEASE();
}

TARGET void AMX(q8)(const lcf_matrix_range *job)
{
    multiply_integers(job, GROUPS * LINE, unpack_q8);
}

TARGET void AMX(q4)(const lcf_matrix_range *job)
{
    multiply_integers(job, GROUPS / 2 * LINE, unpack_q4);
}

/* Two panels at a time. */
void AMX(bf16)(const lcf_matrix_range *job)
{
    const lcf_matrix *w = job->w;
    const size_t k = (w->in + 1) / 2 * 2;
    lcf_amx_bf16 p = {
        .ldc = job->ldy,
        .a = job->tiles,
        .a_row = LINE,
        .a_group = lcf_matrix_amx_pairs_bytes(w->in),
        .a_step = ROWS * LINE,
        .b_row = LINE,
        .b_second = w->panel_bytes,
        .b_step = LCF_TILE_ROWS * LINE,
        .b_ahead = AHEAD,
        .m = job->n,
        .k = k,
        .add = job->add,
    };

    for (size_t i = job->begin; i < job->end; i += 2) {
        p.c = job->y + i * LCF_MATRIX_PANEL;
        p.b = w->data + i * w->panel_bytes;
        p.n = lanes_of(w, i);
        if (i + 1 < job->end)
            p.n += lanes_of(w, i + 1);
        AMX_BF16_PRODUCT(&p);
    }
}
