/*
 * Packing weights and activations, and choosing kernels; see the header for the layouts.
 */
#include "offline/llama/matrix.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/math/amx.h"
#include "common/math/half.h"
#include "common/math/kernels.h"
#include "common/math/product.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { Q8_BYTES = 34, Q4_BYTES = 18 }; /* of a block in the file: an f16 scale and the values */

static const lcf_gguf_type TYPE_OF[LCF_MATRIX_KINDS_N] = {LCF_GGUF_F32, LCF_GGUF_F16, LCF_GGUF_BF16,
                                                          LCF_GGUF_Q8_0, LCF_GGUF_Q4_0};

/* ---- kinds and sizes ---- */

lcf_matrix_kind lcf_matrix_kind_of(const lcf_llama_matrix *const *parts)
{
    bool same = true;

    for (size_t i = 1; parts[i]; i++)
        same = same && parts[i]->type == parts[0]->type;
    for (size_t kind = 0; same && kind < LCF_MATRIX_KINDS_N; kind++)
        if (TYPE_OF[kind] == parts[0]->type)
            return (lcf_matrix_kind)kind;
    return parts[0]->cols % LCF_MATRIX_BLOCK ? LCF_MATRIX_F32 : LCF_MATRIX_Q8;
}

lcf_matrix lcf_matrix_of(lcf_matrix_kind kind, size_t in, size_t out)
{
    size_t bytes = lcf_matrix_scale_bytes(in);

    switch (kind) {
    case LCF_MATRIX_F32:
        bytes = in * LCF_MATRIX_PANEL * sizeof(float);
        break;
    case LCF_MATRIX_F16:
        bytes = in * LCF_MATRIX_PANEL * sizeof(uint16_t);
        break;
    case LCF_MATRIX_BF16:
        bytes = (in + 1) / 2 * 2 * LCF_MATRIX_PANEL * sizeof(uint16_t);
        break;
    case LCF_MATRIX_Q8:
        bytes += in * LCF_MATRIX_PANEL;
        break;
    case LCF_MATRIX_Q4:
        bytes += in * LCF_MATRIX_PANEL / 2;
        break;
    case LCF_MATRIX_KINDS_N:
        break;
    }
    return (lcf_matrix){
        kind, in, out, (out + LCF_MATRIX_PANEL - 1) / LCF_MATRIX_PANEL, (bytes + 63) / 64 * 64,
        NULL};
}

/* ---- weights ---- */

/* A row as f32, and the same row in the type of the file: both at most 4 bytes per value. */
size_t lcf_matrix_scratch_n(size_t in)
{
    return 2 * in;
}

static void pack_bytes(unsigned char *panel, const unsigned char *row, size_t in, size_t size)
{
    for (size_t k = 0; k < in; k++)
        memcpy(panel + k * LCF_MATRIX_PANEL * size, row + k * size, size);
}

static void pack_pairs(unsigned char *panel, const unsigned char *row, size_t in)
{
    for (size_t k = 0; k < in; k++)
        memcpy(panel + k / 2 * 4 * LCF_MATRIX_PANEL + k % 2 * 2, row + 2 * k, 2);
}

/* Scales to the front of the panel, values four by four; `flip` turns them from signed to offset.
 */
static void pack_blocks(unsigned char *panel, const unsigned char *row, size_t in, size_t lane,
                        size_t block_bytes, unsigned char flip)
{
    unsigned char *to = panel + lcf_matrix_scale_bytes(in) + 4 * lane;

    for (size_t i = 0; i < in / LCF_MATRIX_BLOCK; i++, row += block_bytes) {
        memcpy(panel + (i * LCF_MATRIX_PANEL + lane) * 2, row, 2);
        for (size_t b = 2; b < block_bytes; b += 4, to += 4 * LCF_MATRIX_PANEL)
            for (size_t k = 0; k < 4; k++)
                to[k] = row[b + k] ^ flip;
    }
}

static void pack_row(lcf_matrix *w, unsigned char *panel, size_t lane, const unsigned char *row)
{
    switch (w->kind) {
    case LCF_MATRIX_F32:
        pack_bytes(panel + 4 * lane, row, w->in, 4);
        break;
    case LCF_MATRIX_F16:
        pack_bytes(panel + 2 * lane, row, w->in, 2);
        break;
    case LCF_MATRIX_BF16:
        pack_pairs(panel + 4 * lane, row, w->in);
        break;
    case LCF_MATRIX_Q8:
        pack_blocks(panel, row, w->in, lane, Q8_BYTES, 0x80);
        break;
    case LCF_MATRIX_Q4:
        pack_blocks(panel, row, w->in, lane, Q4_BYTES, 0);
        break;
    case LCF_MATRIX_KINDS_N:
        break;
    }
}

/* Row `idx` of a weight in the type of the kind: where it lies, or converted into scratch. */
static const unsigned char *row_as(lcf_gguf_type type, const lcf_llama_matrix *part, size_t idx,
                                   float *scratch)
{
    if (part->type == type)
        return (const unsigned char *)part->data + idx * lcf_gguf_type_bytes(type, part->cols);
    lcf_llama_matrix_rows(scratch, part, idx, 1);
    if (type == LCF_GGUF_F32)
        return (const unsigned char *)scratch;
    lcf_gguf_quantize(scratch + part->cols, type, scratch, part->cols);
    return (const unsigned char *)(scratch + part->cols);
}

void lcf_matrix_pack(lcf_matrix *w, size_t panel, const lcf_llama_matrix *const *parts,
                     float *scratch)
{
    unsigned char *to = w->data + panel * w->panel_bytes;
    size_t row = panel * LCF_MATRIX_PANEL;

    memset(to, 0, w->panel_bytes);
    while (*parts && row >= (*parts)->rows)
        row -= (*parts++)->rows;
    for (size_t lane = 0; lane < LCF_MATRIX_PANEL && *parts; lane++) {
        pack_row(w, to, lane, row_as(TYPE_OF[w->kind], *parts, row++, scratch));
        if (row == (*parts)->rows) {
            row = 0;
            parts++;
        }
    }
}

/* ---- activations ---- */

static bool is_amx(lcf_matrix_level level)
{
    return level == LCF_MATRIX_AMX || level == LCF_MATRIX_AMX_EMULATED;
}

static size_t tile_rows(lcf_matrix_level level)
{
    return is_amx(level) ? LCF_MATRIX_AMX_TILE : LCF_MATRIX_TILE;
}

static size_t amx_tile_bytes(lcf_matrix_kind kind, size_t in)
{
    return kind == LCF_MATRIX_BF16 ? lcf_matrix_amx_pairs_bytes(in)
                                   : in / LCF_MATRIX_BLOCK * LCF_MATRIX_AMX_BLOCK_BYTES;
}

static size_t tile_bytes(lcf_matrix_level level, lcf_matrix_kind kind, size_t in)
{
    if (is_amx(level))
        return amx_tile_bytes(kind, in);
    switch (kind) {
    case LCF_MATRIX_BF16:
        return (in + 1) / 2 * LCF_MATRIX_TILE * 4;
    case LCF_MATRIX_Q8:
    case LCF_MATRIX_Q4:
        return in / LCF_MATRIX_BLOCK * LCF_MATRIX_TILE * 40;
    default:
        return in * LCF_MATRIX_TILE * sizeof(float);
    }
}

#if defined(__x86_64__)
_Static_assert(LCF_MATRIX_TILE == 8, "tiles of the AVX2 functions");

static bool is_full_avx2(size_t rows)
{
    return rows == LCF_MATRIX_TILE && lcf_simd_best() >= LCF_SIMD_AVX2;
}
#endif

static void tile_floats(float *tile, const float *x, size_t ldx, size_t in, size_t rows)
{
    size_t done = 0;

#if defined(__x86_64__)
    if (is_full_avx2(rows))
        done = lcf_matrix_tile_floats_avx2(tile, x, ldx, in);
#endif
    for (size_t r = 0; r < rows; r++)
        for (size_t k = done; k < in; k++)
            tile[k * rows + r] = x[r * ldx + k];
}

static void tile_pairs(uint16_t *tile, const float *x, size_t ldx, size_t in, size_t rows)
{
    size_t done = 0;

#if defined(__x86_64__)
    if (is_full_avx2(rows))
        done = lcf_matrix_tile_pairs_avx2(tile, x, ldx, in);
#endif
    for (size_t r = 0; r < rows; r++) {
        for (size_t k = done; k < in; k++)
            tile[(k / 2 * rows + r) * 2 + k % 2] = lcf_bf16_narrow(x[r * ldx + k]);
        if (in % 2)
            tile[(in / 2 * rows + r) * 2 + 1] = 0;
    }
}

/* 32 values of one row, x / scale rounded to nearest even; returns their sum. */
static int32_t quantize_block(int8_t values[LCF_MATRIX_BLOCK], float *scale, const float *x)
{
    enum { LANES = 8 };
    float largest[LANES] = {0}, most = 0, inverse;
    int32_t sum = 0;

    for (size_t k = 0; k < LCF_MATRIX_BLOCK; k += LANES)
        for (size_t j = 0; j < LANES; j++)
            largest[j] = fabsf(x[k + j]) > largest[j] ? fabsf(x[k + j]) : largest[j];
    for (size_t j = 0; j < LANES; j++)
        most = largest[j] > most ? largest[j] : most;
    *scale = most / 127;
    inverse = most > 1e-30f ? 127 / most : 0;
    for (size_t k = 0; k < LCF_MATRIX_BLOCK; k++) {
        values[k] = (int8_t)lrintf(x[k] * inverse);
        sum += values[k];
    }
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static int32_t quantize_block_avx2(int8_t values[LCF_MATRIX_BLOCK],
                                                                   float *scale, const float *x)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + 8);
    __m256 c = _mm256_loadu_ps(x + 16), d = _mm256_loadu_ps(x + 24), inverse;
    __m256 ab = _mm256_max_ps(_mm256_and_ps(a, magnitude), _mm256_and_ps(b, magnitude));
    __m256 cd = _mm256_max_ps(_mm256_and_ps(c, magnitude), _mm256_and_ps(d, magnitude));
    __m256 eight = _mm256_max_ps(ab, cd);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    float most = _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
    __m256i low, high, bytes, sums;
    __m128i half;

    *scale = most / 127;
    inverse = _mm256_set1_ps(most > 1e-30f ? 127 / most : 0);
    low = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(a, inverse)),
                             _mm256_cvtps_epi32(_mm256_mul_ps(b, inverse)));
    high = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(c, inverse)),
                              _mm256_cvtps_epi32(_mm256_mul_ps(d, inverse)));
    sums = _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1));
    half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    /* packing works on halves of a vector: put the groups of four back into their order */
    bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)values, bytes);
    return _mm_cvtsi128_si32(half);
}
#endif

typedef int32_t (*quantizer)(int8_t *, float *, const float *);

static quantizer best_quantizer(void)
{
#if defined(__x86_64__)
    if (lcf_simd_best() >= LCF_SIMD_AVX2)
        return quantize_block_avx2;
#endif
    return quantize_block;
}

static void tile_blocks(unsigned char *tile, const float *x, size_t ldx, size_t in, size_t rows,
                        int32_t zero)
{
    const quantizer quantize = best_quantizer();

    for (size_t k = 0; k < in; k += LCF_MATRIX_BLOCK, tile += 40 * rows)
        for (size_t r = 0; r < rows; r++) {
            int8_t values[LCF_MATRIX_BLOCK];
            float scale;
            int32_t offset = -zero * quantize(values, &scale, x + r * ldx + k);
            memcpy(tile + 4 * r, &offset, sizeof(offset));
            memcpy(tile + 4 * (rows + r), &scale, sizeof(scale));
            for (size_t g = 0; g < LCF_MATRIX_BLOCK / 4; g++)
                memcpy(tile + 4 * ((2 + g) * rows + r), values + 4 * g, 4);
        }
}

/* Rows that there are not have no values, and offset and scale 0. */
static void amx_tile_blocks(unsigned char *tile, const float *x, size_t ldx, size_t in, size_t rows,
                            int32_t zero)
{
    const quantizer quantize = best_quantizer();

    for (size_t k = 0; k < in; k += LCF_MATRIX_BLOCK, tile += LCF_MATRIX_AMX_BLOCK_BYTES) {
        int8_t *values = (int8_t *)tile;
        int32_t *offsets = (int32_t *)(tile + LCF_MATRIX_AMX_TILE * LCF_MATRIX_BLOCK);
        float *scales = (float *)(offsets + LCF_MATRIX_AMX_TILE);
        memset(offsets, 0, LCF_MATRIX_AMX_TILE * (sizeof(*offsets) + sizeof(*scales)));
        for (size_t r = 0; r < rows; r++)
            offsets[r] =
                -zero * quantize(values + r * LCF_MATRIX_BLOCK, &scales[r], x + r * ldx + k);
    }
}

static void amx_tile_pairs(unsigned char *tile, const float *x, size_t ldx, size_t in, size_t rows)
{
    const size_t row = LCF_MATRIX_BLOCK, step = LCF_MATRIX_AMX_TILE * row;
    uint16_t *to = (uint16_t *)tile;

    for (size_t k = 0; k < in; k += row, to += step) {
        if (in - k < row)
            memset(to, 0, step * sizeof(*to));
        lcf_left(LCF_PRECISION_BF16, to, row, x + k, ldx, rows, in - k < row ? in - k : row);
    }
}

static void amx_tile(void *tile, const lcf_matrix *w, const float *x, size_t ldx, size_t rows)
{
    if (w->kind == LCF_MATRIX_BF16)
        amx_tile_pairs(tile, x, ldx, w->in, rows);
    else
        amx_tile_blocks(tile, x, ldx, w->in, rows, w->kind == LCF_MATRIX_Q8 ? 128 : 8);
}

static void make_tile(lcf_matrix_level level, void *tile, const lcf_matrix *w, const float *x,
                      size_t ldx, size_t rows)
{
    if (is_amx(level)) {
        amx_tile(tile, w, x, ldx, rows);
        return;
    }
    switch (w->kind) {
    case LCF_MATRIX_F32:
    case LCF_MATRIX_F16:
        tile_floats(tile, x, ldx, w->in, rows);
        break;
    case LCF_MATRIX_BF16:
        tile_pairs(tile, x, ldx, w->in, rows);
        break;
    case LCF_MATRIX_Q8:
        tile_blocks(tile, x, ldx, w->in, rows, 128);
        break;
    case LCF_MATRIX_Q4:
        tile_blocks(tile, x, ldx, w->in, rows, 8);
        break;
    case LCF_MATRIX_KINDS_N:
        break;
    }
}

/* ---- kernels ---- */

static const lcf_matrix_kernel KERNELS[][LCF_MATRIX_KINDS_N] = {
    {lcf_matrix_f32_baseline, lcf_matrix_f16_baseline, lcf_matrix_bf16_baseline,
     lcf_matrix_q8_baseline, lcf_matrix_q4_baseline},
#if defined(__x86_64__)
    {lcf_matrix_f32_avx2, lcf_matrix_f16_avx2, lcf_matrix_bf16_avx2, lcf_matrix_q8_avx2,
     lcf_matrix_q4_avx2},
    {lcf_matrix_f32_avx512, lcf_matrix_f16_avx512, lcf_matrix_bf16_avx512bf16,
     lcf_matrix_q8_avx512vnni, lcf_matrix_q4_avx512vnni},
#endif
};

#if defined(__x86_64__)
static void (*const AMX_KERNELS[][LCF_MATRIX_KINDS_N])(const lcf_matrix_range *) = {
    {NULL, NULL, lcf_matrix_bf16_amx_emulated, lcf_matrix_q8_amx_emulated,
     lcf_matrix_q4_amx_emulated},
    {NULL, NULL, lcf_matrix_bf16_amx, lcf_matrix_q8_amx, lcf_matrix_q4_amx},
};
#endif

/*
 * Asking for the next panel in one go would wait for memory there and leave it idle afterwards:
 * the first tiles ask for a part each.
 */
enum { TILES_AT_ONCE_MIN = 8 };

static void share_prefetch(lcf_matrix_job *job, const lcf_matrix *w, size_t tile, size_t tiles_n)
{
    enum { LINE = 64 };
    size_t n = tiles_n < TILES_AT_ONCE_MIN ? tiles_n : TILES_AT_ONCE_MIN;

    job->ahead_step = tile < n ? LINE / n : 0;
    job->ahead = tile < n ? tile * job->ahead_step * (w->panel_bytes / LINE) : 0;
}

/* Tiles [first, first + tiles_n) against all panels of the range. */
static void multiply_tiles(lcf_matrix_level level, const lcf_matrix_range *r, size_t first,
                           size_t tiles_n)
{
    const lcf_matrix *w = r->w;
    const size_t bytes = tile_bytes(level, w->kind, w->in);
    const lcf_matrix_kernel kernel = KERNELS[level][w->kind];

    for (size_t p = r->begin; p < r->end; p++) {
        size_t output = p * LCF_MATRIX_PANEL, lanes = w->out - output;
        lcf_matrix_job job = {
            .ldy = r->ldy, .panel = w->data + p * w->panel_bytes, .in = w->in, .add = r->add};
        job.lanes = lanes < LCF_MATRIX_PANEL ? lanes : LCF_MATRIX_PANEL;
        job.next = p + 1 < r->end ? job.panel + w->panel_bytes : job.panel;
        for (size_t t = 0; t < tiles_n; t++) {
            size_t row = (first + t) * LCF_MATRIX_TILE;
            job.rows = r->n - row < LCF_MATRIX_TILE ? r->n - row : LCF_MATRIX_TILE;
            job.tile = r->tiles + (first + t) * bytes;
            job.y = r->y + row * r->ldy + output;
            share_prefetch(&job, w, t, tiles_n);
            kernel(&job);
        }
    }
}

/* As many tiles at a time as a processor's second cache keeps while all panels pass by. */
static void multiply_vectors(lcf_matrix_level level, const lcf_matrix_range *r)
{
    const size_t kept_bytes = (size_t)256 << 10, bytes = tile_bytes(level, r->w->kind, r->w->in);
    const size_t tiles_n = (r->n + LCF_MATRIX_TILE - 1) / LCF_MATRIX_TILE;
    size_t at_once = kept_bytes / bytes;

    at_once = at_once < TILES_AT_ONCE_MIN ? TILES_AT_ONCE_MIN : at_once;
    for (size_t t = 0; t < tiles_n; t += at_once)
        multiply_tiles(level, r, t, tiles_n - t < at_once ? tiles_n - t : at_once);
}

static void multiply(lcf_matrix_level level, const lcf_matrix_range *job)
{
#if defined(__x86_64__)
    if (is_amx(level)) {
        AMX_KERNELS[level - LCF_MATRIX_AMX_EMULATED][job->w->kind](job);
        return;
    }
#endif
    multiply_vectors(level, job);
}

/* ---- levels ---- */

static bool has_vectors(lcf_matrix_kind kind, lcf_matrix_level level)
{
#if defined(__x86_64__)
    if (level == LCF_MATRIX_AVX2)
        return lcf_simd_best() >= LCF_SIMD_AVX2 && lcf_has_f16c();
    if (level == LCF_MATRIX_AVX512)
        return lcf_simd_best() >= LCF_SIMD_AVX512 &&
               (kind != LCF_MATRIX_BF16 || __builtin_cpu_supports("avx512bf16")) &&
               ((kind != LCF_MATRIX_Q8 && kind != LCF_MATRIX_Q4) ||
                __builtin_cpu_supports("avx512vnni"));
#endif
    (void)kind;
    return level == LCF_MATRIX_BASELINE;
}

#if defined(__x86_64__)
enum { TRIED_IN = 96, TRIED_OUT = 40, TRIED_ROWS = 21 };

/* One product of small numbers; y [TRIED_ROWS, TRIED_OUT]. errors: ENOMEM */
static lcf_status try_product(float *y, const lcf_matrix *w, lcf_matrix_level level)
{
    const size_t rows = tile_rows(level), bytes = tile_bytes(level, w->kind, w->in);
    unsigned char *tiles = lcf_alloc_aligned((TRIED_ROWS + rows - 1) / rows, bytes);
    float x[TRIED_ROWS * TRIED_IN];

    if (!tiles)
        return LCF_ENOMEM;
    for (size_t i = 0; i < TRIED_ROWS * TRIED_IN; i++)
        x[i] = (float)(i * 29 % 97) / 97 - 0.5f;
    for (size_t r = 0; r < TRIED_ROWS; r += rows)
        make_tile(level, tiles + r / rows * bytes, w, x + r * TRIED_IN, TRIED_IN,
                  TRIED_ROWS - r < rows ? TRIED_ROWS - r : rows);
    multiply(level, &(lcf_matrix_range){y, TRIED_OUT, w, tiles, TRIED_ROWS, 0, w->panels_n, false});
    free(tiles);
    return LCF_OK;
}

/* A matrix of small numbers; its data is the caller's to free. errors: ENOMEM */
static lcf_status make_matrix(lcf_matrix *w, lcf_matrix_kind kind)
{
    float values[TRIED_OUT * TRIED_IN], scratch[2 * TRIED_IN];
    const lcf_llama_matrix part = {values, LCF_GGUF_F32, TRIED_OUT, TRIED_IN};
    const lcf_llama_matrix *const parts[] = {&part, NULL};

    for (size_t i = 0; i < TRIED_OUT * TRIED_IN; i++)
        values[i] = (float)(i * 37 % 101) / 101 - 0.5f;
    *w = lcf_matrix_of(kind, TRIED_IN, TRIED_OUT);
    w->data = lcf_alloc_aligned(lcf_matrix_bytes(w), 1);
    if (!w->data)
        return LCF_ENOMEM;
    for (size_t p = 0; p < w->panels_n; p++)
        lcf_matrix_pack(w, p, parts, scratch);
    return LCF_OK;
}

/* Do the kernels of a level give what those of AVX-512 give? Integers to the bit; bf16 is summed in
 * another order. */
static bool agrees(lcf_matrix_kind kind, lcf_matrix_level level)
{
    const float tolerance = kind == LCF_MATRIX_BF16 ? 1e-4f : 0;
    float y[TRIED_ROWS * TRIED_OUT], wanted[TRIED_ROWS * TRIED_OUT];
    lcf_matrix w;
    bool same = !make_matrix(&w, kind) && !try_product(y, &w, level) &&
                !try_product(wanted, &w, LCF_MATRIX_AVX512);

    for (size_t i = 0; same && i < TRIED_ROWS * TRIED_OUT; i++)
        same = fabsf(y[i] - wanted[i]) <= tolerance;
    free(w.data);
    return same;
}

/* Kinds whose kernels were tried and do what they should, emulated and not. */
static bool works[2][LCF_MATRIX_KINDS_N];

static void try_level(lcf_matrix_level level)
{
    for (size_t kind = 0; kind < LCF_MATRIX_KINDS_N; kind++) {
        bool *kind_works = &works[level - LCF_MATRIX_AMX_EMULATED][kind];
        if (!AMX_KERNELS[level - LCF_MATRIX_AMX_EMULATED][kind] ||
            !has_vectors((lcf_matrix_kind)kind, LCF_MATRIX_AVX512))
            continue;
        *kind_works = agrees((lcf_matrix_kind)kind, level);
        if (!*kind_works)
            lcf_log(LCF_LOG_WARN,
                    "matrix unit=%s type=%s refused=1 reason='its products are not those of "
                    "AVX-512, which is used instead'",
                    lcf_matrix_level_name(level), lcf_gguf_type_name(TYPE_OF[kind]));
    }
}

static void try_amx(void)
{
    if (lcf_amx_ready())
        try_level(LCF_MATRIX_AMX);
}

static void try_emulated(void)
{
    try_level(LCF_MATRIX_AMX_EMULATED);
}

static bool has_amx(lcf_matrix_kind kind, lcf_matrix_level level)
{
    static pthread_once_t tried[2] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};
    const size_t which = level - LCF_MATRIX_AMX_EMULATED;

    pthread_once(&tried[which], level == LCF_MATRIX_AMX ? try_amx : try_emulated);
    return works[which][kind];
}
#endif

bool lcf_matrix_has(lcf_matrix_kind kind, lcf_matrix_level level)
{
#if defined(__x86_64__)
    if (is_amx(level))
        return has_amx(kind, level);
#endif
    return has_vectors(kind, level);
}

static lcf_matrix_level level_max = LCF_MATRIX_AMX;

void lcf_matrix_limit(lcf_matrix_level level)
{
    level_max = level;
}

lcf_matrix_level lcf_matrix_level_of(lcf_matrix_kind kind)
{
    lcf_matrix_level level = level_max;

    while ((level == LCF_MATRIX_AMX_EMULATED && level_max != LCF_MATRIX_AMX_EMULATED) ||
           !lcf_matrix_has(kind, level))
        level--; /* there is always the baseline */
    return level;
}

const char *lcf_matrix_level_name(lcf_matrix_level level)
{
    static const char *const NAMES[LCF_MATRIX_LEVELS_N] = {"baseline", "avx2", "avx512",
                                                           "amx-emulated", "amx"};

    return NAMES[level];
}

/* ---- in the level in use ---- */

size_t lcf_matrix_tile_rows(lcf_matrix_kind kind)
{
    return tile_rows(lcf_matrix_level_of(kind));
}

size_t lcf_matrix_tile_bytes(lcf_matrix_kind kind, size_t in)
{
    return tile_bytes(lcf_matrix_level_of(kind), kind, in);
}

void lcf_matrix_tile(void *tile, const lcf_matrix *w, const float *x, size_t ldx, size_t rows)
{
    make_tile(lcf_matrix_level_of(w->kind), tile, w, x, ldx, rows);
}

void lcf_matrix_multiply(const lcf_matrix_range *job)
{
    multiply(lcf_matrix_level_of(job->w->kind), job);
}
