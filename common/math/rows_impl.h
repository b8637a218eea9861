/*
 * The bodies of lcf_rows_gather and lcf_rows_scatter: included by simd_impl.h, which says how it is
 * compiled. Usual widths are compiled as constants.
 */
#include "common/math/rows.h"

/* Rows of a table lie anywhere in it: their lines are asked for so many rows before they are used.
 */
#define ROWS_AHEAD 8

ALWAYS_INLINE void ask_for_row(const float *row, const size_t width, const int write)
{
    for (size_t d = 0; d < width; d += 16)
        __builtin_prefetch(row + d, write, 3);
}

/* The j-th row that is read, and the lines of a later one of the n. */
ALWAYS_INLINE const float *gathered(const lcf_rows *r, const float *table, size_t j, size_t n,
                                    const size_t width)
{
    if (r->ids && j + ROWS_AHEAD < n)
        ask_for_row(table + r->ids[j + ROWS_AHEAD] * width, width, 0);
    return table + (r->ids ? r->ids[j] : j) * width;
}

ALWAYS_INLINE void copy_row(float *y, const float *x, const size_t width)
{
    size_t d = 0;

    for (; d + VW <= width; d += VW)
        *(vec *)(y + d) = *(const vec *)(x + d);
    for (; d < width; d++)
        y[d] = x[d];
}

/* y += share * x */
ALWAYS_INLINE void add_row(float *y, float share, const float *x, const size_t width)
{
    size_t d = 0;

    for (; d + VW <= width; d += VW)
        *(vec *)(y + d) += share * *(const vec *)(x + d);
    for (; d < width; d++)
        y[d] += share * x[d];
}

ALWAYS_INLINE void rows_gather(const lcf_rows *r, float *y, size_t ldy, const float *table,
                               const size_t width)
{
    const size_t ids_n = r->offsets ? r->offsets[r->n] : r->n;

    for (size_t i = 0; i < r->n; i++, y += ldy) {
        const size_t begin = r->offsets ? r->offsets[i] : i,
                     end = r->offsets ? r->offsets[i + 1] : i + 1;
        const float share = 1.0f / (float)(end - begin);

        if (!r->offsets) {
            copy_row(y, gathered(r, table, i, ids_n, width), width);
            continue;
        }
        memset(y, 0, width * sizeof(*y));
        for (size_t j = begin; j < end; j++)
            add_row(y, share, gathered(r, table, j, ids_n, width), width);
    }
}

/* As rows_gather with means, whose sums stay in registers: width is a multiple of VW. */
ALWAYS_INLINE void rows_means(const lcf_rows *r, float *y, size_t ldy, const float *table,
                              const size_t width)
{
    const size_t ids_n = r->offsets[r->n];

    for (size_t i = 0; i < r->n; i++, y += ldy) {
        const size_t begin = r->offsets[i], end = r->offsets[i + 1];
        const float share = 1.0f / (float)(end - begin);
        vec sum[96 / VW];

        for (size_t d = 0; d < width / VW; d++)
            sum[d] = (vec){0};
        for (size_t j = begin; j < end; j++) {
            const float *from = gathered(r, table, j, ids_n, width);

            for (size_t d = 0; d < width / VW; d++)
                sum[d] += share * *(const vec *)(from + d * VW);
        }
        for (size_t d = 0; d < width / VW; d++)
            *(vec *)(y + d * VW) = sum[d];
    }
}

ALWAYS_INLINE void rows_scatter(const lcf_rows *r, float *table, const float *dy, size_t ldy,
                                const size_t width, size_t first)
{
    const size_t ids_n = r->offsets ? r->offsets[r->n] : r->n;

    for (size_t i = 0; i < r->n; i++, dy += ldy) {
        const size_t begin = r->offsets ? r->offsets[i] : i,
                     end = r->offsets ? r->offsets[i + 1] : i + 1;
        const float share = r->offsets ? 1.0f / (float)(end - begin) : 1.0f;

        for (size_t j = begin; j < end; j++) {
            const size_t id = r->ids ? r->ids[j] : j;

            if (r->ids && j + ROWS_AHEAD < ids_n && r->ids[j + ROWS_AHEAD] >= first)
                ask_for_row(table + (r->ids[j + ROWS_AHEAD] - first) * width, width, 1);
            if (id >= first)
                add_row(table + (id - first) * width, share, dy, width);
        }
    }
}

static void impl_rows_sum(float *y, size_t ldy, const lcf_rows_part *parts, size_t parts_n,
                          size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, y += ldy) {
        size_t d = 0, part;

        for (; d + VW <= width; d += VW) {
            vec sum = *(const vec *)(parts->table + parts->ids[i] * width + d);

            for (part = 1; part < parts_n; part++)
                sum += *(const vec *)(parts[part].table + parts[part].ids[i] * width + d);
            *(vec *)(y + d) = sum;
        }
        for (; d < width; d++) {
            y[d] = parts->table[parts->ids[i] * width + d];
            for (part = 1; part < parts_n; part++)
                y[d] += parts[part].table[parts[part].ids[i] * width + d];
        }
    }
}

static void impl_rows_gather(const lcf_rows *r, float *y, size_t ldy, const float *table,
                             size_t width)
{
    if (width == 32 && r->offsets)
        rows_means(r, y, ldy, table, 32);
    else if (width == 96 && r->offsets)
        rows_means(r, y, ldy, table, 96);
    else if (width == 32)
        rows_gather(r, y, ldy, table, 32);
    else if (width == 96)
        rows_gather(r, y, ldy, table, 96);
    else
        rows_gather(r, y, ldy, table, width);
}

static void impl_rows_scatter(const lcf_rows *r, float *table, const float *dy, size_t ldy,
                              size_t width, size_t first)
{
    if (width == 32)
        rows_scatter(r, table, dy, ldy, 32, first);
    else if (width == 96)
        rows_scatter(r, table, dy, ldy, 96, first);
    else
        rows_scatter(r, table, dy, ldy, width, first);
}
