/*
 * Weight matrices packed for products with a batch of rows, in the type of the file. Private to
 * this folder.
 *
 * Sixteen outputs make a panel, the unit that threads share out; a panel holds its weights in the
 * order in which a kernel reads them, one vector of sixteen lanes after the other:
 *
 *     F32   [in][16]          f32
 *     F16   [in][16]          f16
 *     BF16  [in / 2][16][2]   bf16, an odd `in` filled up with 0
 *     Q8    [in / 32][16]     f16 scales, up to a multiple of 64 bytes; then
 *           [in / 4][16][4]   u8, value + 128
 *     Q4    [in / 32][16]     f16 scales, as above; then
 *           [in / 32][4][16][4] bytes: the low nibble is value + 8 of component 4 v + j of the
 *                             block, the high nibble that of component 16 + 4 v + j
 *
 * The rows to be multiplied (activations) are brought into tiles, for the kernels of vectors of up
 * to LCF_MATRIX_TILE rows r:
 *
 *     F32, F16  [in][r]     f32
 *     BF16      [in / 2][r][2]  bf16
 *     Q8, Q4    per 32 components: [r] i32 -zero * sum of the values below, [r] f32 scale,
 *               [8][r][4] i8
 *
 * For AMX tiles are of LCF_MATRIX_AMX_TILE rows:
 *
 *     BF16      per 32 components: [16][32] bf16, the last filled up with 0
 *     Q8, Q4    per 32 components: [16][32] i8, [16] i32 -zero * sum of the values, [16] f32 scale
 *
 * Every output is a sum over `in` in an order that the level of instructions alone determines,
 * whatever the batch: a row gives the same bits alone and beside others. Q8 and Q4 sum each block
 * of 32 in integers and add fma(sum, scale * scale, total), so that they give the same bits at
 * every level.
 */
#ifndef LCF_OFFLINE_LLAMA_MATRIX_H
#define LCF_OFFLINE_LLAMA_MATRIX_H

#include "offline/llama/llama.h"

#define LCF_MATRIX_PANEL 16
#define LCF_MATRIX_TILE 8
#define LCF_MATRIX_AMX_TILE 16
#define LCF_MATRIX_BLOCK 32

typedef enum lcf_matrix_kind {
    LCF_MATRIX_F32,
    LCF_MATRIX_F16,
    LCF_MATRIX_BF16,
    LCF_MATRIX_Q8,
    LCF_MATRIX_Q4,
    LCF_MATRIX_KINDS_N
} lcf_matrix_kind;

typedef struct lcf_matrix {
    lcf_matrix_kind kind;
    size_t in, out, panels_n, panel_bytes;
    unsigned char *data; /* [panels_n, panel_bytes], on a cache line */
} lcf_matrix;

/* The kind that weights with the same input are packed as, side by side; parts end with NULL. Types
 * without a kind of their own become Q8, where its blocks divide the row, or F32. */
lcf_matrix_kind lcf_matrix_kind_of(const lcf_llama_matrix *const *parts);
/* Shape and size alone, without data. */
lcf_matrix lcf_matrix_of(lcf_matrix_kind kind, size_t in, size_t out);
static inline size_t lcf_matrix_bytes(const lcf_matrix *w)
{
    return w->panels_n * w->panel_bytes;
}
/* Fills a panel from the parts. memory: scratch [lcf_matrix_scratch_n(in)] floats */
void lcf_matrix_pack(lcf_matrix *w, size_t panel, const lcf_llama_matrix *const *parts,
                     float *scratch);
size_t lcf_matrix_scratch_n(size_t in);

/* How rows of this kind are brought into tiles depends on the level of instructions in use. */
/* Rows of a tile, but of the last of a batch. */
size_t lcf_matrix_tile_rows(lcf_matrix_kind kind);
/* Bytes of a tile. */
size_t lcf_matrix_tile_bytes(lcf_matrix_kind kind, size_t in);
/* rows [1, lcf_matrix_tile_rows(w->kind)] of x, ldx floats apart, into a tile. */
void lcf_matrix_tile(void *tile, const lcf_matrix *w, const float *x, size_t ldx, size_t rows);

/* The outputs of panels [begin, end), for all rows. */
typedef struct lcf_matrix_range {
    float *y; /* [n, w->out], ldy floats between rows */
    size_t ldy;
    const lcf_matrix *w;
    const unsigned char *tiles; /* of n rows, lcf_matrix_tile_bytes apart */
    size_t n, begin, end;
    bool add;
} lcf_matrix_range;

/* y = x w^T, or y += x w^T where `add`. */
void lcf_matrix_multiply(const lcf_matrix_range *job);

/* ---- kernels, one per kind and level of instructions ---- */

typedef struct lcf_matrix_job { /* one panel and one tile */
    float *y;
    size_t ldy;
    const unsigned char *panel;
    const unsigned char *next; /* the panel that will be read after it, */
    size_t ahead, ahead_step;  /* of which this job asks for a part: from `ahead` on, so many bytes
                                  per line that it reads itself */
    const unsigned char *tile;
    size_t in, rows;
    size_t lanes; /* outputs that there are, LCF_MATRIX_PANEL but in the last panel */
    bool add;
} lcf_matrix_job;

typedef void (*lcf_matrix_kernel)(const lcf_matrix_job *job);

typedef enum lcf_matrix_level {
    LCF_MATRIX_BASELINE, /* the reference: plain C */
    LCF_MATRIX_AVX2,
    LCF_MATRIX_AVX512,       /* AVX512-F for floats, VNNI for integers, BF16 for bf16 */
    LCF_MATRIX_AMX_EMULATED, /* the reference of AMX: used where it is asked for, in tests */
    LCF_MATRIX_AMX,          /* integers and bf16 */
    LCF_MATRIX_LEVELS_N
} lcf_matrix_level;

/*
 * Has the processor this level, and the kind a kernel for it? The first question about AMX holds
 * its kernels against those of AVX-512; where they differ there is none, and a warning.
 *
 * threads  safe
 */
bool lcf_matrix_has(lcf_matrix_kind kind, lcf_matrix_level level);
/* The level in use for a kind. */
lcf_matrix_level lcf_matrix_level_of(lcf_matrix_kind kind);
const char *lcf_matrix_level_name(lcf_matrix_level level);
/* For tests: levels above are not used from now on; tiles that there are become void. */
void lcf_matrix_limit(lcf_matrix_level level);

/* Bytes of the scales at the beginning of a panel of Q8 and Q4. */
static inline size_t lcf_matrix_scale_bytes(size_t in)
{
    return (in / LCF_MATRIX_BLOCK * LCF_MATRIX_PANEL * 2 + 63) / 64 * 64;
}

/* Bytes of 32 components of a tile of Q8 and Q4 for AMX. */
#define LCF_MATRIX_AMX_BLOCK_BYTES (LCF_MATRIX_AMX_TILE * (LCF_MATRIX_BLOCK + 8))
/* Bytes of a tile of BF16 for AMX. */
static inline size_t lcf_matrix_amx_pairs_bytes(size_t in)
{
    return (in + LCF_MATRIX_BLOCK - 1) / LCF_MATRIX_BLOCK * LCF_MATRIX_AMX_TILE * 64;
}

void lcf_matrix_f32_baseline(const lcf_matrix_job *job);
void lcf_matrix_f16_baseline(const lcf_matrix_job *job);
void lcf_matrix_bf16_baseline(const lcf_matrix_job *job);
void lcf_matrix_q8_baseline(const lcf_matrix_job *job);
void lcf_matrix_q4_baseline(const lcf_matrix_job *job);
#if defined(__x86_64__)
void lcf_matrix_f32_avx2(const lcf_matrix_job *job);
void lcf_matrix_f16_avx2(const lcf_matrix_job *job);
void lcf_matrix_bf16_avx2(const lcf_matrix_job *job);
void lcf_matrix_q8_avx2(const lcf_matrix_job *job);
void lcf_matrix_q4_avx2(const lcf_matrix_job *job);
void lcf_matrix_f32_avx512(const lcf_matrix_job *job);
void lcf_matrix_f16_avx512(const lcf_matrix_job *job);
void lcf_matrix_bf16_avx512bf16(const lcf_matrix_job *job);
void lcf_matrix_q8_avx512vnni(const lcf_matrix_job *job);
void lcf_matrix_q4_avx512vnni(const lcf_matrix_job *job);
void lcf_matrix_bf16_amx(const lcf_matrix_range *job);
void lcf_matrix_q8_amx(const lcf_matrix_range *job);
void lcf_matrix_q4_amx(const lcf_matrix_range *job);
void lcf_matrix_bf16_amx_emulated(const lcf_matrix_range *job);
void lcf_matrix_q8_amx_emulated(const lcf_matrix_range *job);
void lcf_matrix_q4_amx_emulated(const lcf_matrix_range *job);
/* The beginning of a full tile of f32 or bf16; return how many components they have done. */
size_t lcf_matrix_tile_floats_avx2(float *tile, const float *x, size_t ldx, size_t in);
size_t lcf_matrix_tile_pairs_avx2(uint16_t *tile, const float *x, size_t ldx, size_t in);
#endif

#endif
