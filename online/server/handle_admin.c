/* What an operator asks over the Unix socket. Both are promises: /v1/snapshot says what came of it.
 */
#include "online/server/handlers.h"

#include "common/base/json.h"

static lcf_answer asked(lcf_handler *h, bool force)
{
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    lcf_reloader_ask(h->shared->reloader, force);
    lcf_buf_append_text(&h->body, "{\"status\":\"asked\"}");
    answer.code = 202;
    return answer;
}

lcf_answer lcf_handle_reload(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return asked(h, true);
}

/* {"generation": name} or {"generation": null}. */
lcf_answer lcf_handle_switch(lcf_handler *h, const lcf_request *q)
{
    const json_t *generation;
    json_t *json = NULL;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_json_parse(&json, q->body, q->body_bytes, "body", &err);

    if (status)
        return lcf_answer_refused(h, status, &err);
    generation = json_object_get(json, "generation");
    if (!json_is_object(json) || json_object_size(json) != 1 ||
        !(json_is_string(generation) || json_is_null(generation)))
        status = LCF_FAIL(&err, LCF_EFORMAT,
                          "write {\"generation\": \"name\"}, or null to follow current again");
    if (!status)
        status = lcf_reloader_pin(h->shared->reloader, json_string_value(generation), &err);
    json_decref(json);
    return status ? lcf_answer_refused(h, status, &err) : asked(h, false);
}
