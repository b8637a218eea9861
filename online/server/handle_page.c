/*
 * The page for people at "/": three files that are part of the program, and the users and items
 * that it offers for a choice.
 *
 * User ids name people: they are listed only where the operator lets explanations name them, too.
 */
#include "online/server/handlers.h"

#include "page_files.h" /* generated from page/ by CMake: INDEX_HTML, PAGE_CSS, PAGE_JS */

#define USERS_MAX 20
#define ITEMS_MAX 100

static lcf_answer file(lcf_handler *h, const char *type, const unsigned char *data, size_t n)
{
    lcf_answer answer = lcf_answer_ok(h, type);

    lcf_buf_append(&h->body, (const char *)data, n);
    return answer;
}

lcf_answer lcf_handle_page(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return file(h, "text/html; charset=utf-8", INDEX_HTML, sizeof(INDEX_HTML));
}

lcf_answer lcf_handle_page_css(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return file(h, "text/css; charset=utf-8", PAGE_CSS, sizeof(PAGE_CSS));
}

lcf_answer lcf_handle_page_js(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return file(h, "text/javascript; charset=utf-8", PAGE_JS, sizeof(PAGE_JS));
}

/* Those that h->context knows by that text. */
static lcf_status find(lcf_rank_entry *out, size_t *n, lcf_handler *h, lcf_rank_kind kind,
                       const char *text, size_t n_max, lcf_err *err)
{
    lcf_handler_refresh(h);
    if (!h->context)
        return LCF_FAIL(err, LCF_ENOMEM, "ranking context");
    return lcf_rank_find(out, n, h->context, kind, text, n_max, err);
}

lcf_answer lcf_handle_users(lcf_handler *h, const lcf_request *q)
{
    lcf_rank_entry found[USERS_MAX];
    size_t n = 0;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = LCF_OK;
    lcf_answer answer;

    if (h->shared->options.example_users)
        status = find(found, &n, h, LCF_RANK_USERS, q->parameters[0], USERS_MAX, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_buf_printf(&h->body, "{\"hidden\":%s,\"users\":[",
                   h->shared->options.example_users ? "false" : "true");
    for (size_t i = 0; i < n; i++) {
        lcf_buf_append_text(&h->body, i ? ",{\"user_id\":" : "{\"user_id\":");
        lcf_wire_write_string(&h->body, found[i].id);
        lcf_buf_printf(&h->body, ",\"history_n\":%zu}", found[i].history_n);
    }
    lcf_buf_append_text(&h->body, "]}");
    return answer;
}

lcf_answer lcf_handle_items(lcf_handler *h, const lcf_request *q)
{
    lcf_rank_entry found[ITEMS_MAX];
    size_t n;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = find(found, &n, h, LCF_RANK_ITEMS, q->parameters[0], ITEMS_MAX, &err);
    lcf_answer answer;

    if (status)
        return lcf_answer_refused(h, status, &err);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_buf_append_text(&h->body, "{\"items\":[");
    for (size_t i = 0; i < n; i++) {
        lcf_buf_append_text(&h->body, i ? ",{\"item_id\":" : "{\"item_id\":");
        lcf_wire_write_string(&h->body, found[i].id);
        lcf_buf_append_text(&h->body, ",\"title\":");
        lcf_wire_write_string(&h->body, found[i].title);
        lcf_buf_append_char(&h->body, '}');
    }
    lcf_buf_append_text(&h->body, "]}");
    return answer;
}
