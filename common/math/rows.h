/*
 * Rows of a table brought together, or means of some, and what is theirs added back: lookups,
 * forward and backward.
 */
#ifndef LCF_COMMON_MATH_ROWS_H
#define LCF_COMMON_MATH_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Which rows make the i-th of n: row ids[i] (ids NULL: row i), or with offsets [n + 1] the mean of
 * rows ids[offsets[i] .. offsets[i + 1]). The caller has checked them. */
typedef struct lcf_rows {
    const uint32_t *ids, *offsets;
    size_t n;
} lcf_rows;

/* y [n, width], ldy floats between its rows; zeros for the mean of none. */
void lcf_rows_gather(float *y, size_t ldy, const float *table, size_t width, const lcf_rows *rows);
/* ADDS dy [n, width], or each one's share of it, to the rows that it is of, in the order of i. Row
 * `first` stands at the beginning of table, rows before it get nothing. */
void lcf_rows_scatter(float *table, const float *dy, size_t ldy, size_t width, size_t first,
                      const lcf_rows *rows);

/* One of several tables, and which of its rows is meant for the i-th of n. */
typedef struct lcf_rows_part {
    const float *table;
    const uint32_t *ids;
} lcf_rows_part;

/* y [n, width], ldy floats between its rows: sums of a row of every part, one part at least. */
void lcf_rows_sum(float *y, size_t ldy, const lcf_rows_part *parts, size_t parts_n, size_t n,
                  size_t width);

#endif
