/* Texts of items as tokens: see item_texts.h. */
#include "offline/ilm/item_texts.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

static void append_part(lcf_buf *out, const char *separator, lcf_str text)
{
    if (!text.len)
        return;
    if (out->len)
        lcf_buf_append_text(out, separator);
    lcf_buf_append(out, text.data, text.len);
}

void lcf_item_text(lcf_buf *out, const lcf_catalogue *c, uint32_t item)
{
    const uint64_t first = c->category_offsets[item];

    append_part(out, ". ", lcf_strings_get(&c->title, item));
    append_part(out, ". ", lcf_strings_get(&c->brand, c->item_brand[item]));
    for (uint64_t i = first; i < c->category_offsets[item + 1]; i++)
        append_part(out, i == first ? ". " : ", ",
                    lcf_strings_get(&c->category, c->item_categories[i]));
    append_part(out, ". ", lcf_strings_get(&c->text, item));
}

static lcf_status add_item(lcf_item_texts *t, lcf_buf *text, const lcf_catalogue *c,
                           const lcf_tokenizer *tokenizer, uint32_t item, size_t tokens_max,
                           lcf_err *err)
{
    const size_t first = t->tokens.n;
    lcf_status status;

    lcf_buf_reset(text);
    lcf_item_text(text, c, item);
    if (text->status)
        return LCF_FAIL(err, text->status, "text of item %u", item);
    status = text->len
                 ? lcf_tokenizer_encode(&t->tokens, tokenizer, text->data, text->len, true, err)
                 : LCF_OK;
    if (status)
        return status;
    if (t->tokens.n - first > tokens_max)
        t->tokens.n = first + tokens_max;
    if (t->tokens.n > UINT32_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "texts of items: more than 2^32 tokens");
    t->hashes[item] =
        lcf_hash64(t->tokens.ids + first, (t->tokens.n - first) * sizeof(*t->tokens.ids), 0);
    t->offsets[item + 1] = (uint32_t)t->tokens.n;
    return LCF_OK;
}

lcf_status lcf_item_texts_create(lcf_item_texts *out, const lcf_catalogue *c,
                                 const lcf_tokenizer *tokenizer, size_t tokens_max, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    *out = (lcf_item_texts){.items_n = c->items_n, .tokens = LCF_TOKENS_INIT};
    out->offsets = lcf_alloc_zero((size_t)c->items_n + 1, sizeof(*out->offsets));
    out->hashes = lcf_alloc_zero((size_t)c->items_n + 1, sizeof(*out->hashes));
    if (!out->offsets || !out->hashes)
        status = LCF_FAIL(err, LCF_ENOMEM, "texts of %u items", c->items_n);
    for (uint32_t i = 1; i < c->items_n && !status; i++) /* the unknown has none */
        status = add_item(out, &text, c, tokenizer, i, tokens_max, err);
    lcf_buf_dispose(&text);
    if (status)
        lcf_item_texts_dispose(out);
    return status;
}

void lcf_item_texts_dispose(lcf_item_texts *t)
{
    lcf_tokens_dispose(&t->tokens);
    free(t->offsets);
    free(t->hashes);
    memset(t, 0, sizeof(*t));
}

lcf_status lcf_item_texts_tokenizer(lcf_tokenizer **out, const lcf_catalogue *c,
                                    const uint32_t *items, size_t items_n, size_t vocab_n,
                                    lcf_err *err)
{
    lcf_str *texts = lcf_alloc(items_n + 1, sizeof(*texts));
    size_t *ends = lcf_alloc(items_n + 1, sizeof(*ends));
    lcf_buf all = LCF_BUF_INIT, one = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    for (size_t i = 0; texts && ends && i < items_n; i++) {
        lcf_buf_reset(&one);
        lcf_item_text(&one, c, items[i]);
        lcf_buf_append(&all, one.data, one.len);
        ends[i] = all.len;
    }
    if (!texts || !ends || all.status || one.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "texts of %zu items", items_n);
    for (size_t i = 0; i < items_n && !status; i++) {
        const size_t begin = i ? ends[i - 1] : 0;

        texts[i] = (lcf_str){all.data + begin, ends[i] - begin};
    }
    if (!status)
        status = lcf_tokenizer_train(out, texts, items_n, vocab_n, err);
    lcf_buf_dispose(&all);
    lcf_buf_dispose(&one);
    free(texts);
    free(ends);
    return status;
}
