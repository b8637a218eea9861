/* The look of every HTML page. One style for all: a page that needs more than this is too much. */
#include "offline/eval/report_style.h"

#include "offline/eval/svg.h"

#include <string.h>

#define LIGHT                                                                             \
    "--ink:#1b1f24;--soft:#57606a;--line:#d5dae0;--page:#fff;--card:#f6f8fa;--a:#b35900;" \
    "--b:#0b62b8;--good:#13713a;--bad:#b3261e;"
#define DARK                                                                                 \
    "--ink:#e6e9ec;--soft:#9aa4af;--line:#3a424b;--page:#14171a;--card:#1d2226;--a:#f0954a;" \
    "--b:#6cb2f5;--good:#5fcf8a;--bad:#ff8a80;"

static const char STYLE[] =
    ":root{" LIGHT "color-scheme:light dark}\n"
    "@media(prefers-color-scheme:dark){:root{" DARK "}}\n"
    "body{font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "color:var(--ink);background:var(--page);max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}h1,p,li{overflow-wrap:anywhere}"
    "h2{font-size:1.15rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}\n"
    "a{color:var(--b)}nav{margin:1rem 0;font-size:.92rem}nav a{margin-right:1rem}\n"
    ".verdict{background:var(--card);border:1px solid var(--line);border-left:.4rem solid "
    "var(--soft);border-radius:.4rem;padding:.8rem 1rem;font-size:1.15rem;max-width:none}\n"
    ".verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}"
    ".verdict.good,.verdict.bad{color:inherit}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
    "font-size:.86rem;margin:.4rem 0}th,td{padding:.22rem "
    ".55rem;text-align:right;border-bottom:1px "
    "solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "thead th{color:var(--soft);font-weight:600;vertical-align:bottom;white-space:normal}\n"
    ".charts{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}figcaption{color:var(--soft);"
    "font-size:.9rem;max-width:46rem}.charts figcaption{max-width:27rem}"
    "svg{max-width:100%;height:auto;display:block}\n"
    "svg text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "fill:var(--ink)}svg .soft{fill:var(--soft)}svg .all{font-weight:600}"
    "svg line,svg polyline{fill:none;stroke-width:2}svg .grid{stroke:var(--line);stroke-width:1}"
    "svg .zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}"
    "svg .a{stroke:var(--a)}svg .b{stroke:var(--b)}svg polyline.a{stroke-dasharray:7 4}"
    "svg .other{stroke:var(--soft);stroke-dasharray:2 3}svg .ci{stroke:var(--ink)}svg "
    ".dot{fill:var(--ink)}"
    "svg .dot.a{fill:var(--page);stroke-width:2}svg .dot.b{fill:var(--b)}"
    "svg .good{stroke:var(--good);fill:var(--good)}svg .bad{stroke:var(--bad);fill:var(--bad)}"
    "svg rect.a{fill:var(--a);stroke:none;opacity:.35}svg rect.b{fill:var(--b);stroke:none;"
    "opacity:.35}svg text.a{fill:var(--a);stroke:none}svg text.b{fill:var(--b);stroke:none}\n"
    "details{margin:1rem 0}summary{cursor:pointer;font-weight:600}p,li{max-width:46rem}"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:.3rem;padding:.6rem "
    ".8rem;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    /* Last, so that it wins. Paper is white whatever the reader's mode, and does not scroll. */
    "@media print{:root{" LIGHT "--card:#fff;--ink:#000;color-scheme:light}@page{margin:12mm}"
    "body{font-size:10.5pt;max-width:none;margin:0;padding:0}nav{display:none}"
    "figure,tr,.verdict{break-inside:avoid}h2,h3,summary,thead{break-after:avoid}"
    ".wide{overflow:visible}table{font-size:7.5pt}th,td{padding:.1rem .3rem}"
    "td:first-child,td:last-child{white-space:normal}td:last-child{overflow-wrap:anywhere}"
    ".charts{gap:1rem}.charts figure{flex:0 0 47%}pre{font-size:7.5pt}}";

void lcf_page_open(lcf_buf *out, const char *title)
{
    lcf_buf_append_text(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width, "
                             "initial-scale=1\">\n<title>");
    lcf_xml_escape(out, title);
    lcf_buf_printf(out, "</title>\n<style>\n%s</style></head>\n<body>\n<h1>", STYLE);
    lcf_xml_escape(out, title);
    lcf_buf_append_text(out, "</h1>\n");
}

void lcf_page_close(lcf_buf *out)
{
    lcf_buf_append_text(out, "</body></html>\n");
}

void lcf_page_section(lcf_buf *out, const char *id, const char *title)
{
    lcf_buf_printf(out, "<section id=\"%s\"><h2>", id);
    lcf_xml_escape(out, title);
    lcf_buf_append_text(out, "</h2>\n");
}

void lcf_page_section_end(lcf_buf *out)
{
    lcf_buf_append_text(out, "</section>\n");
}

void lcf_page_list(lcf_buf *out, const char *lines)
{
    lcf_buf_append_text(out, "<ul>\n");
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        if (n) {
            lcf_buf_append_text(out, "<li>");
            lcf_xml_escape_n(out, lines, n);
            lcf_buf_append_text(out, "</li>\n");
        }
        lines += n + (lines[n] == '\n');
    }
    lcf_buf_append_text(out, "</ul>\n");
}
