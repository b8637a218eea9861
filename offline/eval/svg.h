/*
 * Charts as inline SVG: a thin layer that appends elements to a text. Colours and fonts come from
 * CSS classes of the page, so that a chart follows the page into dark mode and onto paper.
 */
#ifndef LCF_OFFLINE_EVAL_SVG_H
#define LCF_OFFLINE_EVAL_SVG_H

#include "common/base/str.h"

#include <stddef.h>

/* Appends text with &, <, >, " and ' replaced by entities; for HTML and SVG alike. */
void lcf_xml_escape(lcf_buf *out, const char *text);
void lcf_xml_escape_n(lcf_buf *out, const char *text, size_t n);

/* title is what a screen reader says. */
void lcf_svg_open(lcf_buf *out, double width, double height, const char *title);
void lcf_svg_close(lcf_buf *out);

void lcf_svg_line(lcf_buf *out, const char *css, double x1, double y1, double x2, double y2);
void lcf_svg_circle(lcf_buf *out, const char *css, double x, double y, double radius);
void lcf_svg_rect(lcf_buf *out, const char *css, double x, double y, double width, double height);
/* Points with a NaN are left out. shapes: x, y [n] */
void lcf_svg_polyline(lcf_buf *out, const char *css, const double *x, const double *y, size_t n);
/* anchor: "start", "middle" or "end". */
void lcf_svg_text(lcf_buf *out, const char *css, const char *anchor, double x, double y,
                  const char *text);

/*
 * The same, cut with an ellipsis where it would be wider than `width` pixels at 13 px, by a guess
 * of 7.6 px a character and twice that in wide scripts; the whole text is then its tooltip.
 */
void lcf_svg_text_within(lcf_buf *out, const char *css, const char *anchor, double x, double y,
                         const char *text, double width);

/* A linear map from values to pixels. */
typedef struct lcf_svg_scale {
    double low, high; /* values */
    double from, to;  /* pixels of low and of high */
} lcf_svg_scale;

double lcf_svg_at(const lcf_svg_scale *scale, double value);

/* A distance between ticks of the form 1, 2 or 5 times a power of ten that gives about `wanted`
 * intervals over a range > 0. */
double lcf_svg_tick(double range, size_t wanted);

#endif
