/*
 * The kinds of chart that reports need, drawn through svg.h in the page's own colours: curves and
 * bars over two linear axes, and forest plots (one interval a row around a line of reference).
 */
#ifndef LCF_OFFLINE_EVAL_CHARTS_H
#define LCF_OFFLINE_EVAL_CHARTS_H

#include "common/base/str.h"
#include "offline/eval/svg.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- two axes ---- */

typedef struct lcf_axis {
    const char *name;
    double low, high; /* low < high */
} lcf_axis;

typedef struct lcf_chart {
    lcf_svg_scale x, y;
    size_t legend_n;
} lcf_chart;

/* title is what a screen reader says; legend_rows lines are kept free above the axes. */
void lcf_chart_open(lcf_buf *out, lcf_chart *chart, const char *title, const lcf_axis *x,
                    const lcf_axis *y, size_t legend_rows);
/* Names a series in the next line of the legend; css as in report_style.h. */
void lcf_chart_legend(lcf_buf *out, lcf_chart *chart, const char *css, const char *name);
/* Series in the units of the axes; points with a NaN are left out. shapes: x, y [n] */
void lcf_chart_line(lcf_buf *out, const lcf_chart *chart, const char *css, const double *x,
                    const double *y, size_t n);
void lcf_chart_dots(lcf_buf *out, const lcf_chart *chart, const char *css, const double *x,
                    const double *y, size_t n);
/* From the lower end of the y axis up to y. */
void lcf_chart_bar(lcf_buf *out, const lcf_chart *chart, const char *css, double x1, double x2,
                   double y);
/* A dashed line of reference between two points. */
void lcf_chart_reference(lcf_buf *out, const lcf_chart *chart, double x1, double y1, double x2,
                         double y2);
void lcf_chart_close(lcf_buf *out);

/* Widens *axis to hold every value that is not NaN. An axis that is still NAN takes the first. */
void lcf_axis_hold(lcf_axis *axis, const double *values, size_t n);
/* Adds 5 % of room at both ends, and makes an axis of width, also where all values are equal or
 * none was held. */
void lcf_axis_ease(lcf_axis *axis);

/* ---- forest plot ---- */

typedef struct lcf_forest_row {
    const char *name, *note; /* left of the plot; right of the figures, or NULL */
    double value, low, high; /* low NaN: no interval */
    const char *css;         /* "good", "bad", or NULL */
    bool bold;               /* the row that the others are parts of */
    bool flipped;            /* less is better: drawn mirrored, so that right is better */
} lcf_forest_row;

typedef struct lcf_forest {
    const char *title; /* for a screen reader */
    int decimals;      /* of the figures */
    bool plain;        /* figures without a sign: they are no differences */
    double reference;  /* where the dashed line stands, e.g. 0 for lifts */
    bool own_scales;   /* rows of different units: each row is drawn to its own scale */
} lcf_forest;

void lcf_forest_draw(lcf_buf *out, const lcf_forest *forest, const lcf_forest_row *rows, size_t n);

#endif
