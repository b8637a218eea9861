/*
 * Any bytes as a ranking request: parsed or refused with a reason, never more; what was parsed
 * keeps the limits that the ranking library relies on. The ids of a parsed request also go through
 * the writer, whose output must parse.
 */
#include "common/base/json.h"
#include "tests/fuzz/wire_limits.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const lcf_rank_request *r)
{
    if (r->candidates_n < 1 || r->candidates_n > CANDIDATES_MAX ||
        r->history_n > LCF_WIRE_HISTORY_MAX || r->k > LCF_WIRE_EXAMPLES_K_MAX ||
        r->top > LCF_RANK_CANDIDATES_MAX || r->time < 0 || r->items_n > CANDIDATES_MAX ||
        r->context_n > LCF_WIRE_CONTEXT_MAX || r->user_features_n > LCF_WIRE_CONTEXT_MAX)
        abort();
    for (size_t i = 0; i < r->items_n; i++)
        if (strlen(r->items[i].item_id) > LCF_WIRE_ID_BYTES_MAX ||
            r->items[i].categories_n > LCF_WIRE_CATEGORIES_MAX)
            abort();
    check_ids(r->candidates, r->candidates_n);
    check_ids(r->history, r->history_n);
}

static void check_writer(const char *text)
{
    lcf_buf out = LCF_BUF_INIT;
    json_t *json = NULL;

    lcf_buf_append_char(&out, '[');
    lcf_wire_write_string(&out, text);
    lcf_buf_append_char(&out, ']');
    if (out.status || lcf_json_parse(&json, out.data, out.len, "written", NULL))
        abort();
    json_decref(json);
    lcf_buf_dispose(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *raw = malloc(size + 1);
    lcf_wire_request w;
    lcf_err err = LCF_ERR_INIT;

    if (!raw)
        return 0;
    memcpy(raw, data, size);
    raw[size] = '\0';
    check_writer(raw); /* whatever bytes a catalogue holds */
    free(raw);
    lcf_wire_init(&w);
    if (lcf_wire_parse(&w, (const char *)data, size, "body", CANDIDATES_MAX, &err)) {
        if (err.status == LCF_OK || !err.text[0] || w.request.candidates_n)
            abort();
    } else {
        check_limits(&w.request);
        for (size_t i = 0; i < w.request.candidates_n; i++)
            check_writer(w.request.candidates[i]);
    }
    lcf_wire_dispose(&w);
    return 0;
}
