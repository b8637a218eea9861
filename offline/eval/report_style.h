/*
 * The look of every HTML page the project writes: one self-contained file that needs no network and
 * no script, follows the reader's light or dark mode, and prints in black on white.
 *
 * Charts and tables take their colours from the classes of the page's style: `a` and `b` for the
 * arms (orange, dashed; blue, solid: told apart with every common colour blindness and in grey),
 * `good` and `bad` for what is better or worse, `soft` for what stands back.
 */
#ifndef LCF_OFFLINE_EVAL_REPORT_STYLE_H
#define LCF_OFFLINE_EVAL_REPORT_STYLE_H

#include "common/base/str.h"

/* Appends everything up to and with the page's headline; `title` is escaped. */
void lcf_page_open(lcf_buf *out, const char *title);
void lcf_page_close(lcf_buf *out);

/* <section id="..."><h2>...</h2> and its end; `id` is a plain word, `title` is escaped. */
void lcf_page_section(lcf_buf *out, const char *id, const char *title);
void lcf_page_section_end(lcf_buf *out);

/* Every line of `lines` as an item of a list. `lines` is not changed. */
void lcf_page_list(lcf_buf *out, const char *lines);

#endif
