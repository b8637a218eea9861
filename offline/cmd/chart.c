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
#define INTERVALS_MAX ((size_t)1000)

enum { X, Y, BY, LOW, HIGH, COLUMNS_N };

typedef struct arguments {
    const char *csv, *out, *title;
    const char *names[COLUMNS_N];
} arguments;

static const lcf_option OPTIONS[] = {
    {"x", "COLUMN", "What is to the right", 1, LCF_OPT_TEXT(names[X]), LCF_REQUIRED},
    {"y", "COLUMN", "What is up; with intervals, what a row is called", 1, LCF_OPT_TEXT(names[Y]),
     LCF_REQUIRED},
    {"by", "COLUMN", "One series for each of its values, at most six (default: one)", 1,
     LCF_OPT_TEXT(names[BY])},
    {"low", "COLUMN", "Lower ends of intervals around x: a forest plot, a row of the file a line",
     1, LCF_OPT_TEXT(names[LOW])},
    {"high", "COLUMN", "Their upper ends", 1, LCF_OPT_TEXT(names[HIGH])},
    {"title", "TEXT", "For those who cannot see it (default: y over x)", 1, LCF_OPT_TEXT(title)},
    {"out", "FILE.svg", "The chart", 1, LCF_OPT_TEXT(out), LCF_REQUIRED},
    {NULL, "FILE.csv", NULL, 0, LCF_OPT_TEXT(csv), LCF_REQUIRED},
    {0},
};

static const char DOC[] =
    "Draws columns of a CSV file as a chart: a line and its points for every series, or values "
    "with their intervals one below the other."
    "\v"
    "The first row names the columns. Rows where a value is no number are left out. The chart "
    "is one SVG that needs nothing else and follows the reader's light or dark mode.\n\n"
    "Example:\n"
    "  llmcf chart loss.csv --x step --y loss --by run --out loss.svg\n"
    "  llmcf chart figures.csv --y system --x lift --low low --high high \\\n"
    "    --out lifts.svg";

typedef struct series {
    char *name;
    double *x, *y;
    size_t n, x_capacity, y_capacity;
} series;

typedef struct chart_data {
    series list[SERIES_MAX];
    size_t n;
    lcf_forest_row *intervals;
    size_t intervals_n, intervals_capacity;
} chart_data;

/* ---- reading ---- */

static lcf_status find_columns(size_t at[COLUMNS_N], const arguments *a, const lcf_rows *head,
                               lcf_err *err)
{
    for (size_t c = 0; c < COLUMNS_N; c++) {
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

/* False where there is no such field or it is no number. */
static bool number_at(double *value, const lcf_rows *row, size_t at)
{
    return at < row->fields_n && lcf_parse_f64(row->fields[at].data, row->fields[at].len, value);
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

static lcf_status add_point(chart_data *d, const lcf_rows *row, const size_t at[COLUMNS_N],
                            lcf_err *err)
{
    series *s = NULL;
    double x, y;
    lcf_status status;

    if (!number_at(&x, row, at[X]) || !number_at(&y, row, at[Y]))
        return LCF_OK;
    status = series_of(&s, d, at[BY] < row->fields_n ? row->fields[at[BY]] : (lcf_str){"", 0}, err);
    if (status)
        return status;
    if (s->n == POINTS_MAX || lcf_grow((void **)&s->x, &s->x_capacity, s->n + 1, sizeof(*s->x)) ||
        lcf_grow((void **)&s->y, &s->y_capacity, s->n + 1, sizeof(*s->y)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu points", s->n);
    s->x[s->n] = x;
    s->y[s->n++] = y;
    return LCF_OK;
}

/* An interval that does not hold 0 has the colour of more or less. */
static lcf_status add_interval(chart_data *d, const lcf_rows *row, const size_t at[COLUMNS_N],
                               lcf_err *err)
{
    double value, low, high;
    char *name;

    if (at[Y] >= row->fields_n || !number_at(&value, row, at[X]) ||
        !number_at(&low, row, at[LOW]) || !number_at(&high, row, at[HIGH]))
        return LCF_OK;
    if (d->intervals_n == INTERVALS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "more than %zu intervals", INTERVALS_MAX);
    name = lcf_strndup(row->fields[at[Y]].data, row->fields[at[Y]].len);
    if (!name || lcf_grow((void **)&d->intervals, &d->intervals_capacity, d->intervals_n + 1,
                          sizeof(*d->intervals))) {
        free(name);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu intervals", d->intervals_n);
    }
    d->intervals[d->intervals_n++] = (lcf_forest_row){.name = name,
                                                      .value = value,
                                                      .low = low,
                                                      .high = high,
                                                      .css = low > 0    ? "good"
                                                             : high < 0 ? "bad"
                                                                        : NULL};
    return LCF_OK;
}

static lcf_status read_rows(chart_data *d, const arguments *a, lcf_rows *rows, lcf_err *err)
{
    lcf_row_result result = lcf_rows_next(rows);
    size_t at[COLUMNS_N];
    lcf_status status;

    if (result == LCF_ROW_END)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: no row", a->csv);
    status = result == LCF_ROW_OK ? find_columns(at, a, rows, err) : LCF_OK;
    while (!status && result == LCF_ROW_OK) {
        result = lcf_rows_next(rows);
        if (result == LCF_ROW_OK)
            status = (a->names[LOW] ? add_interval : add_point)(d, rows, at, err);
    }
    if (!status && result == LCF_ROW_BAD)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", a->csv, rows->line, rows->reason);
    return !status && !d->n && !d->intervals_n
               ? LCF_FAIL(err, LCF_EFORMAT, "%s: nothing to draw", a->csv)
               : status;
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
        ".ci,.dot{stroke:#222}.zero{stroke:#666;stroke-width:1;stroke-dasharray:4 3}"
        ".good{stroke:#13713a;fill:#13713a}.bad{stroke:#b3261e;fill:#b3261e}"
        ".s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}"
        ".s4{stroke:#e69f00}.s5{stroke:#56b4e9}.dot{fill:#fff;stroke-width:2}"
        "@media(prefers-color-scheme:dark){svg{background:#111}text{fill:#eee}.soft{fill:#aaa}"
        ".grid{stroke:#333}.dot{fill:#111}.ci{stroke:#eee}.zero{stroke:#aaa}"
        ".good{stroke:#5fcf8a;fill:#5fcf8a}.bad{stroke:#ff8a80;fill:#ff8a80}}</style>\n");
}

static void draw_lines(lcf_buf *out, const arguments *a, const char *title, const chart_data *d)
{
    lcf_axis x = {a->names[X], NAN, NAN}, y = {a->names[Y], NAN, NAN};
    lcf_chart chart;
    size_t legend = d->n > 1 ? d->n : 0;

    for (size_t i = 0; i < d->n; i++) {
        lcf_axis_hold(&x, d->list[i].x, d->list[i].n);
        lcf_axis_hold(&y, d->list[i].y, d->list[i].n);
    }
    lcf_axis_ease(&x);
    lcf_axis_ease(&y);
    lcf_chart_open(out, &chart, title, &x, &y, legend);
    for (size_t i = 0; i < d->n; i++) {
        char css[8];
        snprintf(css, sizeof(css), "s%zu", i);
        if (legend)
            lcf_chart_legend(out, &chart, css, d->list[i].name);
        lcf_chart_line(out, &chart, css, d->list[i].x, d->list[i].y, d->list[i].n);
        if (d->list[i].n <= 50)
            lcf_chart_dots(out, &chart, css, d->list[i].x, d->list[i].y, d->list[i].n);
    }
    lcf_chart_close(out);
}

static void draw(lcf_buf *out, const arguments *a, const chart_data *d)
{
    lcf_buf title = LCF_BUF_INIT, body = LCF_BUF_INIT;
    size_t open_n;

    if (a->title)
        lcf_buf_append_text(&title, a->title);
    else
        lcf_buf_printf(&title, "%s over %s", a->names[Y], a->names[X]);
    if (d->intervals_n)
        lcf_forest_draw(&body, &(lcf_forest){.title = lcf_buf_text(&title), .decimals = 4},
                        d->intervals, d->intervals_n);
    else
        draw_lines(&body, a, lcf_buf_text(&title), d);
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
    lcf_status status = LCF_OK;

    if (!a->names[LOW] != !a->names[HIGH] || (a->names[LOW] && a->names[BY]))
        status = LCF_FAIL(err, LCF_EUSAGE, "intervals take --low and --high, and no --by");
    else if (!d)
        status = LCF_FAIL(err, LCF_ENOMEM, "chart");
    if (!status)
        status = read_csv(d, a, err);
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
    for (size_t i = 0; d && i < d->intervals_n; i++)
        free((char *)d->intervals[i].name);
    free(d ? d->intervals : NULL);
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
