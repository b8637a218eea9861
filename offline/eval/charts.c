/* Charts of the reports. Positions are in pixels of the SVG's own coordinates. */
#include "offline/eval/charts.h"

#include <math.h>
#include <stdio.h>

/* ---- two axes ---- */

#define CHART_WIDTH 440.0
#define PLOT_LEFT 58.0
#define PLOT_RIGHT 424.0
#define PLOT_HEIGHT 320.0
#define LEGEND_ROW 20.0
#define AXIS_HEIGHT 46.0

/* The value of a tick; rounding must not leave a "-0". */
static void tick_text(char out[32], double k, double tick)
{
    snprintf(out, 32, "%g", fabs(k) < 0.5 ? 0.0 : k * tick);
}

static void x_ticks(lcf_buf *out, const lcf_chart *c)
{
    double tick = lcf_svg_tick(c->x.high - c->x.low, 5);
    char text[32];

    for (double k = ceil(c->x.low / tick - 1e-9); k * tick <= c->x.high + 1e-9 * tick; k++) {
        double at = lcf_svg_at(&c->x, k * tick);
        lcf_svg_line(out, "grid", at, c->y.from, at, c->y.to);
        tick_text(text, k, tick);
        lcf_svg_text(out, "soft", "middle", at, c->y.from + 18, text);
    }
}

static void y_ticks(lcf_buf *out, const lcf_chart *c)
{
    double tick = lcf_svg_tick(c->y.high - c->y.low, 5);
    char text[32];

    for (double k = ceil(c->y.low / tick - 1e-9); k * tick <= c->y.high + 1e-9 * tick; k++) {
        double at = lcf_svg_at(&c->y, k * tick);
        lcf_svg_line(out, "grid", c->x.from, at, c->x.to, at);
        tick_text(text, k, tick);
        lcf_svg_text(out, "soft", "end", c->x.from - 6, at + 4, text);
    }
}

void lcf_chart_open(lcf_buf *out, lcf_chart *chart, const char *title, const lcf_axis *x,
                    const lcf_axis *y, size_t legend_rows)
{
    double top = 10 + LEGEND_ROW * (double)legend_rows, bottom = top + PLOT_HEIGHT;

    *chart =
        (lcf_chart){{x->low, x->high, PLOT_LEFT, PLOT_RIGHT}, {y->low, y->high, bottom, top}, 0};
    lcf_svg_open(out, CHART_WIDTH, bottom + AXIS_HEIGHT, title);
    x_ticks(out, chart);
    y_ticks(out, chart);
    lcf_svg_text(out, "soft", "middle", (PLOT_LEFT + PLOT_RIGHT) / 2, bottom + 38, x->name);
    lcf_buf_printf(out, "<g transform=\"translate(14 %.0f) rotate(-90)\">", (top + bottom) / 2);
    lcf_svg_text(out, "soft", "middle", 0, 0, y->name);
    lcf_buf_append_text(out, "</g>\n");
}

void lcf_chart_legend(lcf_buf *out, lcf_chart *chart, const char *css, const char *name)
{
    double y = 8 + LEGEND_ROW * (double)chart->legend_n++;
    const double x[] = {PLOT_LEFT, PLOT_LEFT + 26}, ys[] = {y, y};

    lcf_svg_polyline(out, css, x, ys, 2);
    lcf_svg_text_within(out, "", "start", PLOT_LEFT + 34, y + 4, name, PLOT_RIGHT - PLOT_LEFT - 34);
}

void lcf_chart_line(lcf_buf *out, const lcf_chart *chart, const char *css, const double *x,
                    const double *y, size_t n)
{
    lcf_buf_printf(out, "<polyline class=\"%s\" points=\"", css);
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && !isnan(y[i]))
            lcf_buf_printf(out, "%.2f,%.2f ", lcf_svg_at(&chart->x, x[i]),
                           lcf_svg_at(&chart->y, y[i]));
    lcf_buf_append_text(out, "\"/>\n");
}

void lcf_chart_dots(lcf_buf *out, const lcf_chart *chart, const char *css, const double *x,
                    const double *y, size_t n)
{
    char classes[32];

    snprintf(classes, sizeof(classes), "dot %s", css);
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && !isnan(y[i]))
            lcf_svg_circle(out, classes, lcf_svg_at(&chart->x, x[i]), lcf_svg_at(&chart->y, y[i]),
                           3.5);
}

void lcf_chart_bar(lcf_buf *out, const lcf_chart *chart, const char *css, double x1, double x2,
                   double y)
{
    double left = lcf_svg_at(&chart->x, x1), top = lcf_svg_at(&chart->y, y);

    lcf_svg_rect(out, css, left, top, lcf_svg_at(&chart->x, x2) - left, chart->y.from - top);
}

void lcf_chart_reference(lcf_buf *out, const lcf_chart *chart, double x1, double y1, double x2,
                         double y2)
{
    lcf_svg_line(out, "zero", lcf_svg_at(&chart->x, x1), lcf_svg_at(&chart->y, y1),
                 lcf_svg_at(&chart->x, x2), lcf_svg_at(&chart->y, y2));
}

void lcf_chart_close(lcf_buf *out)
{
    lcf_svg_close(out);
}

void lcf_axis_hold(lcf_axis *axis, const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) { /* fmin and fmax prefer a number to a NaN */
        axis->low = fmin(axis->low, values[i]);
        axis->high = fmax(axis->high, values[i]);
    }
}

void lcf_axis_ease(lcf_axis *axis)
{
    double room;

    if (isnan(axis->low))
        axis->low = axis->high = 0;
    room = 0.05 * (axis->high - axis->low);
    if (room <= 0)
        room = axis->low ? 0.05 * fabs(axis->low) : 0.05;
    axis->low -= room;
    axis->high += room;
}

/* ---- forest plot ---- */

#define FOREST_WIDTH 960.0
#define FOREST_ROW 24.0
#define FOREST_TOP 8.0
#define FOREST_LEFT 300.0
#define FOREST_RIGHT 636.0

/* One scale for all rows, or a symmetric one for a row alone. */
static lcf_svg_scale forest_scale(const lcf_forest *f, const lcf_forest_row *rows, size_t n)
{
    lcf_axis axis = {NULL, f->reference, f->reference};

    for (size_t i = 0; i < n; i++)
        if (!isnan(rows[i].low))
            lcf_axis_hold(&axis, (const double[]){rows[i].low, rows[i].value, rows[i].high}, 3);
    if (f->own_scales) {
        double reach = fmax(axis.high - f->reference, f->reference - axis.low);
        axis.low = f->reference - reach;
        axis.high = f->reference + reach;
    }
    lcf_axis_ease(&axis);
    return (lcf_svg_scale){axis.low, axis.high, FOREST_LEFT, FOREST_RIGHT};
}

static void forest_row(lcf_buf *out, const lcf_forest *f, const lcf_forest_row *row,
                       lcf_svg_scale scale, double y)
{
    const char *weight = row->bold ? "all" : "";
    char text[128];

    lcf_svg_text_within(out, weight, "start", 4, y + 4, row->name, FOREST_LEFT - 12);
    if (isnan(row->low)) {
        lcf_svg_text(out, "soft", "start", FOREST_RIGHT + 12, y + 4, "no interval");
        return;
    }
    if (row->flipped) {
        double from = scale.from;
        scale.from = scale.to;
        scale.to = from;
    }
    lcf_svg_line(out, row->css ? row->css : "ci", lcf_svg_at(&scale, row->low), y,
                 lcf_svg_at(&scale, row->high), y);
    lcf_svg_circle(out, row->css ? row->css : "dot", lcf_svg_at(&scale, row->value), y, 4.5);
    snprintf(text, sizeof(text), f->plain ? "%.*f  [%.*f, %.*f]" : "%+.*f  [%+.*f, %+.*f]",
             f->decimals, row->value, f->decimals, row->low, f->decimals, row->high);
    lcf_svg_text(out, weight, "start", FOREST_RIGHT + 12, y + 4, text);
    if (row->note)
        lcf_svg_text(out, "soft", "end", FOREST_WIDTH - 4, y + 4, row->note);
}

static void forest_ticks(lcf_buf *out, const lcf_svg_scale *scale, double bottom)
{
    double tick = lcf_svg_tick(scale->high - scale->low, 6);
    char text[32];

    for (double k = ceil(scale->low / tick); k * tick <= scale->high; k++) {
        double x = lcf_svg_at(scale, k * tick);
        lcf_svg_line(out, "grid", x, FOREST_TOP, x, bottom);
        tick_text(text, k, tick);
        lcf_svg_text(out, "soft", "middle", x, bottom + 18, text);
    }
}

void lcf_forest_draw(lcf_buf *out, const lcf_forest *f, const lcf_forest_row *rows, size_t n)
{
    lcf_svg_scale scale = forest_scale(f, rows, n);
    double bottom = FOREST_TOP + FOREST_ROW * (double)n, zero;

    lcf_svg_open(out, FOREST_WIDTH, bottom + (f->own_scales ? 8 : 26), f->title);
    if (!f->own_scales)
        forest_ticks(out, &scale, bottom);
    zero = f->own_scales ? (FOREST_LEFT + FOREST_RIGHT) / 2 : lcf_svg_at(&scale, f->reference);
    lcf_svg_line(out, "zero", zero, FOREST_TOP, zero, bottom);
    for (size_t i = 0; i < n; i++)
        forest_row(out, f, &rows[i], f->own_scales ? forest_scale(f, &rows[i], 1) : scale,
                   FOREST_TOP + FOREST_ROW * ((double)i + 0.5));
    lcf_svg_close(out);
}
