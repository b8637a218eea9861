/* Tables as text. */
#include "offline/eval/grid.h"

#include "common/base/mem.h"
#include "offline/eval/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lcf_status lcf_grid_create(lcf_grid *out, size_t rows_n, size_t columns_n, const char *const *names)
{
    size_t cells_n;

    *out = (lcf_grid){0, 0, NULL};
    if (!lcf_mul_size(&cells_n, rows_n, columns_n))
        return LCF_ELIMIT;
    out->cells = lcf_alloc_zero(cells_n, LCF_CELL_MAX);
    if (!out->cells)
        return LCF_ENOMEM;
    out->rows_n = rows_n;
    out->columns_n = columns_n;
    for (size_t column = 0; names && column < columns_n; column++)
        lcf_grid_put(out, 0, column, "%s", names[column]);
    return LCF_OK;
}

void lcf_grid_dispose(lcf_grid *grid)
{
    free(grid->cells);
    *grid = (lcf_grid){0, 0, NULL};
}

void lcf_grid_put(lcf_grid *g, size_t row, size_t column, const char *format, ...)
{
    char *cell = lcf_grid_cell(g, row, column);
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(cell, LCF_CELL_MAX, format, args);
    va_end(args);
    if (n >= LCF_CELL_MAX)
        lcf_utf8_mend(cell);
}

void lcf_grid_number(lcf_grid *g, size_t row, size_t column, int decimals, double value)
{
    if (isnan(value))
        lcf_grid_put(g, row, column, LCF_CELL_UNDEFINED);
    else
        lcf_grid_put(g, row, column, "%.*f", decimals, value);
}

/* What rounds to nothing has no sign: not "-0.0000". */
static double without_sign_of_zero(double value, int decimals)
{
    return fabs(value) < 0.5 * pow(10, -decimals) ? 0.0 : value;
}

void lcf_grid_signed(lcf_grid *g, size_t row, size_t column, int decimals, double value)
{
    if (isnan(value))
        lcf_grid_put(g, row, column, LCF_CELL_UNDEFINED);
    else
        lcf_grid_put(g, row, column, "%+.*f", decimals, without_sign_of_zero(value, decimals));
}

void lcf_grid_p(lcf_grid *g, size_t row, size_t column, double p)
{
    if (p < 0.0001)
        lcf_grid_put(g, row, column, "< 0.0001");
    else
        lcf_grid_number(g, row, column, 4, p);
}

void lcf_grid_interval(lcf_grid *g, size_t row, size_t column, double low, double high)
{
    if (isnan(low) || isnan(high))
        lcf_grid_put(g, row, column, LCF_CELL_UNDEFINED);
    else
        lcf_grid_put(g, row, column, "%+.4f to %+.4f", without_sign_of_zero(low, 4),
                     without_sign_of_zero(high, 4));
}

static void markdown_cell(lcf_buf *out, const char *text)
{
    lcf_buf_append_text(out, "| ");
    for (; *text; text++) {
        if (*text == '|')
            lcf_buf_append_char(out, '\\');
        lcf_buf_append_char(out, *text == '\n' ? ' ' : *text);
    }
    lcf_buf_append_char(out, ' ');
}

void lcf_grid_markdown(lcf_buf *out, const lcf_grid *g)
{
    for (size_t row = 0; row < g->rows_n; row++) {
        for (size_t column = 0; column < g->columns_n; column++)
            markdown_cell(out, lcf_grid_cell(g, row, column));
        lcf_buf_append_text(out, "|\n");
        for (size_t column = 0; !row && column < g->columns_n; column++)
            lcf_buf_append_text(out, column ? "|---:" : "|---");
        lcf_buf_append_text(out, row ? "" : "|\n");
    }
}

void lcf_grid_html(lcf_buf *out, const lcf_grid *g)
{
    if (!g->rows_n)
        return;
    lcf_buf_append_text(out, "<div class=\"wide\"><table>\n");
    for (size_t row = 0; row < g->rows_n; row++) {
        const char *tag = row ? "td" : "th";
        lcf_buf_append_text(out, row ? "<tr>" : "<thead><tr>");
        for (size_t column = 0; column < g->columns_n; column++) {
            lcf_buf_printf(out, "<%s>", tag);
            lcf_xml_escape(out, lcf_grid_cell(g, row, column));
            lcf_buf_printf(out, "</%s>", tag);
        }
        lcf_buf_append_text(out, row ? "</tr>\n" : "</tr></thead>\n<tbody>\n");
    }
    lcf_buf_append_text(out, "</tbody></table></div>\n");
}

void lcf_csv_cell(lcf_buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        lcf_buf_append_text(out, text);
        return;
    }
    lcf_buf_append_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            lcf_buf_append_char(out, '"');
        lcf_buf_append_char(out, *text);
    }
    lcf_buf_append_char(out, '"');
}
