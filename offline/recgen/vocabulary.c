/* A vocabulary learned from the rows of a mixture. */
#include "common/base/mem.h"
#include "offline/recgen/mixture.h"

#include <stdlib.h>

typedef struct corpus { /* texts one after another; cut into views at the end */
    lcf_buf text;
    size_t *cuts;
    size_t n, capacity;
    lcf_segments row; /* scratch */
} corpus;

static lcf_status corpus_cut(corpus *c, lcf_err *err)
{
    if (c->text.status || lcf_grow((void **)&c->cuts, &c->capacity, c->n + 1, sizeof(*c->cuts)))
        return LCF_FAIL(err, LCF_ENOMEM, "text to learn a vocabulary from");
    c->cuts[c->n++] = c->text.len;
    return LCF_OK;
}

static lcf_status corpus_source(corpus *c, const lcf_sources *s, size_t source, size_t rows_max,
                                lcf_err *err)
{
    size_t n = lcf_sources_info(s, source).rows_n, take = n < rows_max ? n : rows_max;
    lcf_status status = LCF_OK;
    lcf_trim trim;

    lcf_trim_init(&trim, s);
    for (size_t i = 0; i < take && !status; i++) { /* evenly spread, over time where there is one */
        size_t at = (size_t)((double)i * (double)n / (double)take);
        lcf_segments_reset(&c->row);
        status =
            lcf_sources_segments(&c->row, s, source, lcf_sources_row(s, source, at), &trim, i, err);
        if (status)
            return status;
        lcf_buf_append(&c->text, lcf_buf_text(&c->row.text), c->row.text.len);
        status = corpus_cut(c, err);
    }
    return status;
}

static lcf_status corpus_fill(corpus *c, const lcf_sources *s, size_t rows_max, lcf_err *err)
{
    const lcf_dataset *d = lcf_sources_dataset(s);
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < lcf_sources_n(s) && !status; i++)
        status = corpus_source(c, s, i, rows_max, err);
    for (uint32_t i = 1; d && i < d->catalogue.items_n && !status; i++) {
        lcf_buf_append_char(&c->text, ' ');
        lcf_prompt_title(&c->text, &lcf_sources_get_options(s)->prompt, &d->catalogue, i);
        status = corpus_cut(c, err);
    }
    return status;
}

lcf_status lcf_vocabulary_train(lcf_tokenizer **out, const lcf_sources *sources, size_t vocab_n,
                                size_t rows_max, lcf_err *err)
{
    corpus c = {.text = LCF_BUF_INIT};
    lcf_status status = corpus_fill(&c, sources, rows_max, err);
    lcf_str *texts = status ? NULL : lcf_alloc(c.n + 1, sizeof(*texts));

    *out = NULL;
    if (!status && !texts)
        status = LCF_FAIL(err, LCF_ENOMEM, "text to learn a vocabulary from");
    for (size_t i = 0; !status && i < c.n; i++) {
        size_t begin = i ? c.cuts[i - 1] : 0;
        texts[i] = (lcf_str){c.text.data + begin, c.cuts[i] - begin};
    }
    if (!status)
        status = lcf_tokenizer_train(out, texts, c.n, vocab_n, err);
    free(texts);
    free(c.cuts);
    lcf_segments_dispose(&c.row);
    lcf_buf_dispose(&c.text);
    return status;
}
