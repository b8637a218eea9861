/*
 * The bodies of lcf_rows_gather and lcf_rows_scatter: included by simd_impl.h, which says how it is
 * compiled. Usual widths are compiled as constants.
 */
#include "common/math/rows.h"

ALWAYS_INLINE void rows_gather(const lcf_rows *r, float *y, size_t ldy, const float *table,
                               const size_t width)
{
    for (size_t i = 0; i < r->n; i++, y += ldy) {
        const size_t begin = r->offsets ? r->offsets[i] : i,
                     end = r->offsets ? r->offsets[i + 1] : i + 1;
        const float share = 1.0f / (float)(end - begin);

        if (!r->offsets) {
            memcpy(y, table + (r->ids ? r->ids[i] : i) * width, width * sizeof(*y));
            continue;
        }
        memset(y, 0, width * sizeof(*y));
        for (size_t j = begin; j < end; j++) {
            const float *from = table + (r->ids ? r->ids[j] : j) * width;

#pragma omp simd
            for (size_t d = 0; d < width; d++)
                y[d] += share * from[d];
        }
    }
}

ALWAYS_INLINE void rows_scatter(const lcf_rows *r, float *table, const float *dy, size_t ldy,
                                const size_t width, size_t first)
{
    for (size_t i = 0; i < r->n; i++, dy += ldy) {
        const size_t begin = r->offsets ? r->offsets[i] : i,
                     end = r->offsets ? r->offsets[i + 1] : i + 1;
        const float share = r->offsets ? 1.0f / (float)(end - begin) : 1.0f;

        for (size_t j = begin; j < end; j++) {
            const size_t id = r->ids ? r->ids[j] : j;
            float *to;

            if (id < first)
                continue;
            to = table + (id - first) * width;
#pragma omp simd
            for (size_t d = 0; d < width; d++)
                to[d] += share * dy[d];
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
    if (width == 32)
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
