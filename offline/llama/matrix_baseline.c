/*
 * Matrix kernels in plain C: the reference that the fast ones are held against.
 */
#include "common/math/half.h"
#include "offline/llama/matrix.h"

#include <math.h>

static void store(const lcf_matrix_job *j, size_t row, const float *sums)
{
    float *y = j->y + row * j->ldy;

    for (size_t o = 0; o < j->lanes; o++)
        y[o] = j->add ? y[o] + sums[o] : sums[o];
}

/* ---- floats ---- */

static uint16_t half_at(const unsigned char *bytes, size_t idx)
{
    uint16_t h;

    memcpy(&h, bytes + 2 * idx, sizeof(h));
    return h;
}

void lcf_matrix_f32_baseline(const lcf_matrix_job *j)
{
    const float *w = (const float *)j->panel, *x = (const float *)j->tile;

    for (size_t r = 0; r < j->rows; r++) {
        float sums[LCF_MATRIX_PANEL] = {0};
        for (size_t k = 0; k < j->in; k++)
            for (size_t o = 0; o < LCF_MATRIX_PANEL; o++)
                sums[o] += w[k * LCF_MATRIX_PANEL + o] * x[k * j->rows + r];
        store(j, r, sums);
    }
}

void lcf_matrix_f16_baseline(const lcf_matrix_job *j)
{
    const float *x = (const float *)j->tile;

    for (size_t r = 0; r < j->rows; r++) {
        float sums[LCF_MATRIX_PANEL] = {0};
        for (size_t k = 0; k < j->in; k++)
            for (size_t o = 0; o < LCF_MATRIX_PANEL; o++)
                sums[o] +=
                    lcf_f16_widen(half_at(j->panel, k * LCF_MATRIX_PANEL + o)) * x[k * j->rows + r];
        store(j, r, sums);
    }
}

void lcf_matrix_bf16_baseline(const lcf_matrix_job *j)
{
    for (size_t r = 0; r < j->rows; r++) {
        float sums[LCF_MATRIX_PANEL] = {0};
        for (size_t k = 0; k < j->in; k++)
            for (size_t o = 0; o < LCF_MATRIX_PANEL; o++) {
                size_t w = (k / 2 * LCF_MATRIX_PANEL + o) * 2 + k % 2;
                size_t x = (k / 2 * j->rows + r) * 2 + k % 2;
                sums[o] +=
                    lcf_bf16_widen(half_at(j->panel, w)) * lcf_bf16_widen(half_at(j->tile, x));
            }
        store(j, r, sums);
    }
}

/* ---- integers ---- */

typedef struct block { /* 32 components of one row of a tile */
    int32_t offset;
    float scale;
    const int8_t *values; /* four by four, 4 * rows apart */
} block;

static block block_of(const lcf_matrix_job *j, size_t idx, size_t row)
{
    const unsigned char *at = j->tile + idx * 40 * j->rows;
    block b;

    memcpy(&b.offset, at + 4 * row, sizeof(b.offset));
    memcpy(&b.scale, at + 4 * (j->rows + row), sizeof(b.scale));
    b.values = (const int8_t *)at + 8 * j->rows + 4 * row;
    return b;
}

static int32_t q8_dot(const unsigned char *w, const block *b, size_t rows)
{
    int32_t sum = b->offset;

    for (size_t k = 0; k < LCF_MATRIX_BLOCK; k++)
        sum += w[k / 4 * 4 * LCF_MATRIX_PANEL + k % 4] * b->values[k / 4 * 4 * rows + k % 4];
    return sum;
}

static int32_t q4_dot(const unsigned char *w, const block *b, size_t rows)
{
    int32_t sum = b->offset;

    for (size_t k = 0; k < LCF_MATRIX_BLOCK / 2; k++) {
        unsigned both = w[k / 4 * 4 * LCF_MATRIX_PANEL + k % 4];
        const int8_t *low = b->values + k / 4 * 4 * rows + k % 4;
        sum += (int32_t)(both & 15) * low[0] + (int32_t)(both >> 4) * low[16 * rows];
    }
    return sum;
}

static void integer_rows(const lcf_matrix_job *j, size_t block_bytes,
                         int32_t (*dot)(const unsigned char *, const block *, size_t))
{
    const unsigned char *weights = j->panel + lcf_matrix_scale_bytes(j->in);

    for (size_t r = 0; r < j->rows; r++) {
        float totals[LCF_MATRIX_PANEL] = {0};
        for (size_t i = 0; i < j->in / LCF_MATRIX_BLOCK; i++) {
            block b = block_of(j, i, r);
            for (size_t o = 0; o < LCF_MATRIX_PANEL; o++) {
                float scale = lcf_f16_widen(half_at(j->panel, i * LCF_MATRIX_PANEL + o));
                int32_t sum = dot(weights + i * block_bytes + 4 * o, &b, j->rows);
                totals[o] = fmaf((float)sum, scale * b.scale, totals[o]);
            }
        }
        store(j, r, totals);
    }
}

void lcf_matrix_q8_baseline(const lcf_matrix_job *j)
{
    integer_rows(j, LCF_MATRIX_PANEL * LCF_MATRIX_BLOCK, q8_dot);
}

void lcf_matrix_q4_baseline(const lcf_matrix_job *j)
{
    integer_rows(j, LCF_MATRIX_PANEL * LCF_MATRIX_BLOCK / 2, q4_dot);
}
