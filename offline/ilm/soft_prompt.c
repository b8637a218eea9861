/* Templates with placeholders into tokens: text is gathered until soft tokens interrupt it. */
#include "offline/ilm/soft_prompt.h"

#include "offline/recgen/prompt.h"

#include <string.h>

static const char *const NAMES[] = {
    [LCF_SOFT_ITEM] = "item",
    [LCF_SOFT_USER] = "user",
    [LCF_SOFT_TITLE] = "title",
    [LCF_SOFT_HISTORY] = "history",
    [LCF_SOFT_HISTORY_TITLES] = "history.titles",
    [LCF_SOFT_HISTORY_ITEMS] = "history.items",
};
enum { NAMES_N = sizeof(NAMES) / sizeof(*NAMES) };

/* ---- templates ---- */

static lcf_status add_piece(lcf_soft_template *t, lcf_soft_value value, lcf_str text,
                            const char *source, lcf_err *err)
{
    if (value == LCF_SOFT_TEXT && !text.len)
        return LCF_OK;
    if (t->n == LCF_SOFT_PIECES_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "%s: more than %d pieces", source, LCF_SOFT_PIECES_MAX);
    t->pieces[t->n++] = (lcf_soft_piece){value, text};
    return LCF_OK;
}

static lcf_status find_name(lcf_soft_value *out, lcf_str name, size_t at, const char *source,
                            lcf_err *err)
{
    for (size_t i = LCF_SOFT_ITEM; i < NAMES_N; i++)
        if (strlen(NAMES[i]) == name.len && memcmp(NAMES[i], name.data, name.len) == 0) {
            *out = (lcf_soft_value)i;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EFORMAT,
                    "%s, byte %zu: unknown placeholder {%.*s}; there are {item}, {user}, {title}, "
                    "{history}, {history.titles} and {history.items}",
                    source, at, (int)(name.len < 40 ? name.len : 40), name.data);
}

lcf_status lcf_soft_template_parse(lcf_soft_template *out, lcf_str text, const char *source,
                                   lcf_err *err)
{
    lcf_status status = LCF_OK;
    size_t at = 0;

    out->n = 0;
    while (at < text.len && !status) {
        const char *open = memchr(text.data + at, '{', text.len - at), *close;
        const size_t end = open ? (size_t)(open - text.data) : text.len;
        lcf_soft_value value = LCF_SOFT_TEXT;

        status = add_piece(out, LCF_SOFT_TEXT, (lcf_str){text.data + at, end - at}, source, err);
        at = end;
        if (status || !open)
            continue;
        close = memchr(open, '}', text.len - at);
        if (!close)
            return LCF_FAIL(err, LCF_EFORMAT, "%s, byte %zu: '{' is not closed", source, at);
        status =
            find_name(&value, (lcf_str){open + 1, (size_t)(close - open) - 1}, at, source, err);
        if (!status)
            status = add_piece(out, value, (lcf_str){NULL, 0}, source, err);
        at = (size_t)(close - text.data) + 1;
    }
    return status;
}

/* ---- prompts ---- */

typedef struct rendering {
    lcf_tokens *out;
    const lcf_soft_form *form;
    const lcf_soft_facts *f;
    lcf_buf text; /* that no soft token has interrupted yet */
    bool begun;
} rendering;

static lcf_status flush(rendering *r, lcf_err *err)
{
    const lcf_tokenizer *t = r->form->tokenizer;
    lcf_status status = r->text.status;

    if (!status && !r->begun && lcf_tokenizer_adds_bos(t))
        status = lcf_tokens_push(r->out, lcf_tokenizer_bos(t));
    if (status)
        return LCF_FAIL(err, LCF_ENOMEM, "text of a prompt");
    if (r->text.len)
        status = lcf_tokenizer_encode(r->out, t, r->text.data, r->text.len, !r->begun, err);
    r->begun = true;
    lcf_buf_reset(&r->text);
    return status;
}

static lcf_status put_soft(rendering *r, size_t entity, lcf_err *err)
{
    const size_t n = r->form->tokens_n;
    lcf_status status = n ? flush(r, err) : LCF_OK;

    for (size_t i = 0; i < n && !status; i++)
        if (lcf_tokens_push(r->out, (uint32_t)(r->form->vocab_n + entity * n + i)))
            status = LCF_FAIL(err, LCF_ENOMEM, "soft tokens of a prompt");
    return status;
}

static void put_title(rendering *r, uint32_t item)
{
    const lcf_catalogue *c = &r->form->d->catalogue;

    lcf_prompt_name(&r->text, lcf_strings_get(&c->title, item), r->form->title_bytes_max);
}

static lcf_status put_history(rendering *r, lcf_soft_value value, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->f->history_n && !status; i++) {
        const uint32_t item = r->f->history[i];

        if (i && value != LCF_SOFT_HISTORY_ITEMS)
            lcf_buf_append_text(&r->text, "; ");
        if (value != LCF_SOFT_HISTORY_ITEMS)
            put_title(r, item);
        if (value != LCF_SOFT_HISTORY_TITLES)
            status = put_soft(r, item, err);
    }
    return status;
}

static lcf_status put_piece(rendering *r, const lcf_soft_piece *piece, lcf_err *err)
{
    switch (piece->value) {
    case LCF_SOFT_TEXT:
        lcf_buf_append(&r->text, piece->text.data, piece->text.len);
        return LCF_OK;
    case LCF_SOFT_ITEM:
        return put_soft(r, r->f->item, err);
    case LCF_SOFT_USER:
        return put_soft(r, r->form->d->catalogue.items_n + (size_t)r->f->user, err);
    case LCF_SOFT_TITLE:
        put_title(r, r->f->item);
        return LCF_OK;
    default:
        return put_history(r, piece->value, err);
    }
}

lcf_status lcf_soft_prompt(lcf_tokens *out, const lcf_soft_template *t, const lcf_soft_form *form,
                           const lcf_soft_facts *f, lcf_err *err)
{
    rendering r = {out, form, f, LCF_BUF_INIT, false};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < t->n && !status; i++)
        status = put_piece(&r, &t->pieces[i], err);
    if (!status)
        status = flush(&r, err);
    lcf_buf_dispose(&r.text);
    return status;
}

/* ---- prompts that name their entities ---- */

/* Entity of "item:ID" or "user:ID". */
static lcf_status find_entity(size_t *out, lcf_str name, const lcf_dataset *d, lcf_err *err)
{
    const char *colon = memchr(name.data, ':', name.len);
    const size_t kind = colon ? (size_t)(colon - name.data) : 0;
    const bool user = kind == 4 && memcmp(name.data, "user", 4) == 0;
    uint32_t found;

    if (kind != 4 || (!user && memcmp(name.data, "item", 4) != 0))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "unknown placeholder {%.*s}; there are {item:ID} and {user:ID}",
                        (int)(name.len < 40 ? name.len : 40), name.data);
    found = lcf_strings_find(user ? &d->user_id : &d->catalogue.item_id, colon + 1, name.len - 5);
    if (!found)
        return LCF_FAIL(err, LCF_ENOENT, "the dataset has no %s '%.*s'", user ? "user" : "item",
                        (int)(name.len - 5 < 80 ? name.len - 5 : 80), colon + 1);
    *out = user ? d->catalogue.items_n + (size_t)found : found;
    return LCF_OK;
}

lcf_status lcf_soft_prompt_named(lcf_tokens *out, lcf_str text, const lcf_soft_form *form,
                                 lcf_err *err)
{
    rendering r = {out, form, NULL, LCF_BUF_INIT, false};
    lcf_status status = LCF_OK;
    size_t at = 0;

    while (at < text.len && !status) {
        const char *open = memchr(text.data + at, '{', text.len - at), *close;
        const size_t end = open ? (size_t)(open - text.data) : text.len;
        size_t entity = 0;

        lcf_buf_append(&r.text, text.data + at, end - at);
        at = end;
        if (!open)
            continue;
        close = memchr(open, '}', text.len - at);
        if (!close) {
            status = LCF_FAIL(err, LCF_EFORMAT, "byte %zu: '{' is not closed", at);
            continue;
        }
        at = (size_t)(close - text.data) + 1;
        status =
            find_entity(&entity, (lcf_str){open + 1, (size_t)(close - open) - 1}, form->d, err);
        if (!status)
            status = put_soft(&r, entity, err);
    }
    if (!status)
        status = flush(&r, err);
    lcf_buf_dispose(&r.text);
    return status;
}
