/* llmcf chart: columns of a CSV file as one SVG. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/data/rows.h"
#include "offline/eval/charts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_MAX 6
#define POINTS_MAX ((size_t)1 << 20)

typedef struct arguments {
    const char *csv, *out, *title;
    const char *names[3]; /* x, y, by */
} arguments;

static const lcf_option OPTIONS[] = {
    {"x", "COLUMN", "What is to the right", 1, LCF_OPT_TEXT(names[0]), LCF_REQUIRED},
    {"y", "COLUMN", "What is up", 1, LCF_OPT_TEXT(names[1]), LCF_REQUIRED},
    {"by", "COLUMN", "One series for each of its values, at most six (default: one)", 1,
     LCF_OPT_TEXT(names[2])},
    {"title", "TEXT", "For those who cannot see it (default: y over x)", 1, LCF_OPT_TEXT(title)},
    {"out", "FILE.svg", "The chart", 1, LCF_OPT_TEXT(out), LCF_REQUIRED},
    {NULL, "FILE.csv", NULL, 0, LCF_OPT_TEXT(csv), LCF_REQUIRED},
    {0},
};

static const char DOC[] =
    "Draws two columns of a CSV file as a chart: a line and its points for every series."
    "\v"
    "The first row names the columns. Rows where either value is no number are left out. The chart "
    "is one SVG that needs nothing else and follows the reader's light or dark mode.\n\n"
    "Example:\n"
    "  llmcf chart loss.csv --x step --y loss --by run --out loss.svg";

typedef struct series {
    char *name;
    double *x, *y;
    size_t n, x_capacity, y_capacity;
} series;

typedef struct chart_data {
    series list[SERIES_MAX];
    size_t n;
} chart_data;

/* ---- reading ---- */

static lcf_status find_columns(size_t at[3], const arguments *a, const lcf_rows *head, lcf_err *err)
{
    for (size_t c = 0; c < 3; c++) {
        at[c] = head->fields_n;
        for (size_t i = 0; a->names[c] && i < head->fields_n; i++)
            if (head->fields[i].len == strlen(a->names[c]) &&
                !memcmp(head->fields[i].data, a->names[c], head->fields[i].len))
                at[c] = i;
        if (a->names[c] && at[c] == head->fields_n)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: no column '%s'", a->csv, a->names[c]);
    }
    return LCF_OK;
}

static lcf_status series_of(series **out, chart_data *d, lcf_str name, lcf_err *err)
{
    for (size_t i = 0; i < d->n; i++)
        if (strlen(d->list[i].name) == name.len && !memcmp(d->list[i].name, name.data, name.len)) {
            *out = &d->list[i];
            return LCF_OK;
        }
    if (d->n == SERIES_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "more than %d series", SERIES_MAX);
    d->list[d->n].name = lcf_strndup(name.data, name.len);
    if (!d->list[d->n].name)
        return LCF_FAIL(err, LCF_ENOMEM, "series");
    *out = &d->list[d->n++];
    return LCF_OK;
}

static lcf_status add_point(chart_data *d, const lcf_rows *row, const size_t at[3], lcf_err *err)
{
    series *s = NULL;
    double x, y;
    lcf_status status;

    if (at[0] >= row->fields_n || at[1] >= row->fields_n ||
        !lcf_parse_f64(row->fields[at[0]].data, row->fields[at[0]].len, &x) ||
        !lcf_parse_f64(row->fields[at[1]].data, row->fields[at[1]].len, &y))
        return LCF_OK;
    status = series_of(&s, d, at[2] < row->fields_n ? row->fields[at[2]] : (lcf_str){"", 0}, err);
    if (status)
        return status;
    if (s->n == POINTS_MAX || lcf_grow((void **)&s->x, &s->x_capacity, s->n + 1, sizeof(*s->x)) ||
        lcf_grow((void **)&s->y, &s->y_capacity, s->n + 1, sizeof(*s->y)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu points", s->n);
    s->x[s->n] = x;
    s->y[s->n++] = y;
    return LCF_OK;
}

static lcf_status read_rows(chart_data *d, const arguments *a, lcf_rows *rows, lcf_err *err)
{
    lcf_row_result result = lcf_rows_next(rows);
    size_t at[3];
    lcf_status status;

    if (result == LCF_ROW_END)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: no row", a->csv);
    status = result == LCF_ROW_OK ? find_columns(at, a, rows, err) : LCF_OK;
    while (!status && result == LCF_ROW_OK) {
        result = lcf_rows_next(rows);
        if (result == LCF_ROW_OK)
            status = add_point(d, rows, at, err);
    }
    if (!status && result == LCF_ROW_BAD)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", a->csv, rows->line, rows->reason);
    return !status && !d->n ? LCF_FAIL(err, LCF_EFORMAT, "%s: nothing to draw", a->csv) : status;
}

static lcf_status read_csv(chart_data *d, const arguments *a, lcf_err *err)
{
    lcf_map map;
    lcf_rows rows;
    lcf_status status = lcf_map_open(&map, a->csv, err);

    if (status)
        return status;
    status = lcf_rows_init(&rows, (const char *)map.data, map.bytes_n, ',', true, err);
    if (!status) {
        status = read_rows(d, a, &rows, err);
        lcf_rows_dispose(&rows);
    }
    lcf_map_close(&map);
    return status;
}

/* ---- drawing ---- */

/* A chart that stands alone brings the page's classes with it. */
static void add_style(lcf_buf *out)
{
    lcf_buf_append_text(
        out,
        "<style>svg{background:#fff}text{font:13px system-ui,sans-serif;fill:#222}.soft{fill:#666}"
        "line,polyline{fill:none;stroke-width:2}.grid{stroke:#ddd;stroke-width:1}"
        ".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}"
        ".s4{stroke:#e69f00}.s5{stroke:#56b4e9}.dot{fill:#fff;stroke-width:2}"
        "@media(prefers-color-scheme:dark){svg{background:#111}text{fill:#eee}.soft{fill:#aaa}"
        ".grid{stroke:#333}.dot{fill:#111}}</style>\n");
}

static void draw(lcf_buf *out, const arguments *a, const chart_data *d)
{
    lcf_axis x = {a->names[0], NAN, NAN}, y = {a->names[1], NAN, NAN};
    lcf_buf title = LCF_BUF_INIT, body = LCF_BUF_INIT;
    lcf_chart chart;
    size_t legend = d->n > 1 ? d->n : 0, open_n;

    for (size_t i = 0; i < d->n; i++) {
        lcf_axis_hold(&x, d->list[i].x, d->list[i].n);
        lcf_axis_hold(&y, d->list[i].y, d->list[i].n);
    }
    lcf_axis_ease(&x);
    lcf_axis_ease(&y);
    lcf_buf_printf(&title, "%s over %s", a->names[1], a->names[0]);
    lcf_chart_open(&body, &chart, a->title ? a->title : lcf_buf_text(&title), &x, &y, legend);
    for (size_t i = 0; i < d->n; i++) {
        char css[8];
        snprintf(css, sizeof(css), "s%zu", i);
        if (legend)
            lcf_chart_legend(&body, &chart, css, d->list[i].name);
        lcf_chart_line(&body, &chart, css, d->list[i].x, d->list[i].y, d->list[i].n);
        if (d->list[i].n <= 50)
            lcf_chart_dots(&body, &chart, css, d->list[i].x, d->list[i].y, d->list[i].n);
    }
    lcf_chart_close(&body);
    open_n = body.status ? 0 : strlen("<svg");
    lcf_buf_append_text(out, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    for (size_t i = open_n; i < body.len; i++) {
        lcf_buf_append_char(out, body.data[i]);
        if (open_n && body.data[i] == '>') {
            add_style(out);
            lcf_buf_append(out, body.data + i + 1, body.len - i - 1);
            break;
        }
    }
    if (body.status)
        out->status = body.status;
    lcf_buf_dispose(&title);
    lcf_buf_dispose(&body);
}

static lcf_status run(const arguments *a, lcf_err *err)
{
    chart_data *d = lcf_alloc_zero(1, sizeof(*d));
    lcf_buf svg = LCF_BUF_INIT;
    lcf_status status = d ? read_csv(d, a, err) : LCF_FAIL(err, LCF_ENOMEM, "chart");

    if (!status) {
        draw(&svg, a, d);
        status = svg.status ? LCF_FAIL(err, svg.status, "chart")
                            : lcf_file_write(a->out, svg.data, svg.len, err);
    }
    for (size_t i = 0; d && i < d->n; i++) {
        free(d->list[i].name);
        free(d->list[i].x);
        free(d->list[i].y);
    }
    free(d);
    lcf_buf_dispose(&svg);
    return status;
}

int lcf_cmd_chart(int argc, char **argv)
{
    static const lcf_options options = {"chart", DOC, OPTIONS, NULL, NULL};
    arguments a = {.csv = NULL};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = run(&a, &err);
    return lcf_cli_finish("chart", status, &err);
}
