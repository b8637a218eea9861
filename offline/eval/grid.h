/*
 * A table as text, once, for every form it is written in: Markdown and HTML cannot disagree.
 *
 * Row 0 is the header, the first column is left-aligned. Cells are cut at LCF_CELL_MAX - 1 bytes,
 * at the end of a character.
 */
#ifndef LCF_OFFLINE_EVAL_GRID_H
#define LCF_OFFLINE_EVAL_GRID_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>

#define LCF_CELL_MAX 96
/* What stands for a figure that is not defined. */
#define LCF_CELL_UNDEFINED "-"

typedef struct lcf_grid {
    size_t rows_n, columns_n;
    char (*cells)[LCF_CELL_MAX]; /* [rows_n, columns_n] */
} lcf_grid;

/* A grid of empty cells below a header. shapes: names [columns_n], or NULL for an empty header.
 * errors: ENOMEM, and the grid then has no rows. */
lcf_status lcf_grid_create(lcf_grid *out, size_t rows_n, size_t columns_n,
                           const char *const *names);
void lcf_grid_dispose(lcf_grid *grid);

static inline char *lcf_grid_cell(const lcf_grid *grid, size_t row, size_t column)
{
    return grid->cells[row * grid->columns_n + column];
}

void lcf_grid_put(lcf_grid *g, size_t row, size_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A number, or a difference with its sign; "-" when it is NaN. */
void lcf_grid_number(lcf_grid *g, size_t row, size_t column, int decimals, double value);
void lcf_grid_signed(lcf_grid *g, size_t row, size_t column, int decimals, double value);
/* A p-value: "0.0123", "< 0.0001", or "-". */
void lcf_grid_p(lcf_grid *g, size_t row, size_t column, double p);
/* "+0.0012 to +0.0034", or "-". */
void lcf_grid_interval(lcf_grid *g, size_t row, size_t column, double low, double high);

/* Appended to `out`; nothing for a grid of no rows. */
void lcf_grid_markdown(lcf_buf *out, const lcf_grid *g);
void lcf_grid_html(lcf_buf *out, const lcf_grid *g);
/* One cell of CSV, quoted where it must be (RFC 4180). */
void lcf_csv_cell(lcf_buf *out, const char *text);

#endif
