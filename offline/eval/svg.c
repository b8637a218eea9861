/* Charts as inline SVG. Coordinates are written with two decimals, so equal charts are equal bytes.
 */
#include "offline/eval/svg.h"

#include <math.h>
#include <string.h>

static void escape_char(lcf_buf *out, char c)
{
    switch (c) {
    case '&':
        lcf_buf_append_text(out, "&amp;");
        break;
    case '<':
        lcf_buf_append_text(out, "&lt;");
        break;
    case '>':
        lcf_buf_append_text(out, "&gt;");
        break;
    case '"':
        lcf_buf_append_text(out, "&quot;");
        break;
    case '\'':
        lcf_buf_append_text(out, "&#39;");
        break;
    default:
        lcf_buf_append_char(out, c);
    }
}

void lcf_xml_escape_n(lcf_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        escape_char(out, text[i]);
}

void lcf_xml_escape(lcf_buf *out, const char *text)
{
    lcf_xml_escape_n(out, text, strlen(text));
}

void lcf_svg_open(lcf_buf *out, double width, double height, const char *title)
{
    lcf_buf_printf(out,
                   "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">"
                   "<title>",
                   width, height, width, height);
    lcf_xml_escape(out, title);
    lcf_buf_append_text(out, "</title>\n");
}

void lcf_svg_close(lcf_buf *out)
{
    lcf_buf_append_text(out, "</svg>\n");
}

void lcf_svg_line(lcf_buf *out, const char *css, double x1, double y1, double x2, double y2)
{
    lcf_buf_printf(out, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>\n",
                   css, x1, y1, x2, y2);
}

void lcf_svg_circle(lcf_buf *out, const char *css, double x, double y, double radius)
{
    lcf_buf_printf(out, "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\"/>\n", css, x, y,
                   radius);
}

void lcf_svg_rect(lcf_buf *out, const char *css, double x, double y, double width, double height)
{
    lcf_buf_printf(out,
                   "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>\n",
                   css, x, y, width, height);
}

void lcf_svg_polyline(lcf_buf *out, const char *css, const double *x, const double *y, size_t n)
{
    lcf_buf_printf(out, "<polyline class=\"%s\" points=\"", css);
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && !isnan(y[i]))
            lcf_buf_printf(out, "%.2f,%.2f ", x[i], y[i]);
    lcf_buf_append_text(out, "\"/>\n");
}

void lcf_svg_text(lcf_buf *out, const char *css, const char *anchor, double x, double y,
                  const char *text)
{
    lcf_buf_printf(out, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.2f\" y=\"%.2f\">", css, anchor,
                   x, y);
    lcf_xml_escape(out, text);
    lcf_buf_append_text(out, "</text>\n");
}

#define CHARACTER_WIDTH 7.6

/* Bytes of the text that fit. */
static size_t fitting(const char *text, double width)
{
    size_t i = 0;
    double used = 0;

    while (text[i]) {
        size_t n = 1;
        while (((unsigned char)text[i + n] & 0xC0) == 0x80)
            n++;
        /* three bytes from E1 84 80 on, and four: scripts of wide characters, and pictures */
        used += CHARACTER_WIDTH * ((unsigned char)text[i] >= 0xE1 ? 2 : 1);
        if (used > width)
            break;
        i += n;
    }
    return i;
}

void lcf_svg_text_within(lcf_buf *out, const char *css, const char *anchor, double x, double y,
                         const char *text, double width)
{
    if (!text[fitting(text, width)]) {
        lcf_svg_text(out, css, anchor, x, y, text);
        return;
    }
    lcf_buf_printf(out, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.2f\" y=\"%.2f\"><title>", css,
                   anchor, x, y);
    lcf_xml_escape(out, text);
    lcf_buf_append_text(out, "</title>");
    lcf_xml_escape_n(out, text, fitting(text, width - CHARACTER_WIDTH));
    lcf_buf_append_text(out, "…</text>\n");
}

double lcf_svg_at(const lcf_svg_scale *scale, double value)
{
    return scale->from +
           (value - scale->low) / (scale->high - scale->low) * (scale->to - scale->from);
}

double lcf_svg_tick(double range, size_t wanted)
{
    double raw = range / (double)wanted, power = pow(10, floor(log10(raw)));

    if (raw <= power)
        return power;
    if (raw <= 2 * power)
        return 2 * power;
    return raw <= 5 * power ? 5 * power : 10 * power;
}
