/*
 * Open Inference Protocol, version 2, over HTTP (online/rank/wire_infer.h): what it says of the
 * server and of its models, and scores. Errors are {"error": text} (lcf_answer_fail).
 */
#include "online/server/handlers.h"

#include "common/base/cli.h"
#include "online/rank/wire_infer.h"

#include <string.h>

lcf_answer lcf_handle_v2_server(lcf_handler *h, const lcf_request *q)
{
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    (void)q;
    lcf_buf_append_text(&h->body,
                        "{\"name\":\"llmcf\",\"version\":\"" LCF_VERSION "\",\"extensions\":[]}");
    return answer;
}

lcf_answer lcf_handle_v2_live(lcf_handler *h, const lcf_request *q)
{
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    (void)q;
    lcf_buf_append_text(&h->body, "{\"live\":true}");
    return answer;
}

static lcf_answer ready(lcf_handler *h, const char *name)
{
    const bool is_ready = !atomic_load(&h->shared->draining);
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    lcf_buf_append_char(&h->body, '{');
    if (name) {
        lcf_buf_append_text(&h->body, "\"name\":");
        lcf_wire_write_string(&h->body, name);
        lcf_buf_append_char(&h->body, ',');
    }
    lcf_buf_printf(&h->body, "\"ready\":%s}", is_ready ? "true" : "false");
    answer.code = is_ready ? 200 : 503;
    return answer;
}

lcf_answer lcf_handle_v2_ready(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return ready(h, NULL);
}

/* Whether the snapshot in place has that arm; `generation` receives a copy of its name. */
static bool has_model(lcf_buf *generation, lcf_handler *h, const char *name)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info info;
    bool found = false;

    lcf_rank_info_of(&info, g->snapshot);
    for (size_t i = 0; i < info.arms_n; i++)
        found |= !strcmp(info.arms[i], name);
    if (generation)
        lcf_buf_append_text(generation, info.generation);
    lcf_generation_release(g);
    return found;
}

lcf_answer lcf_handle_v2_model_ready(lcf_handler *h, const lcf_request *q)
{
    return has_model(NULL, h, q->parameter)
               ? ready(h, q->parameter)
               : lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
}

lcf_answer lcf_handle_v2_model(lcf_handler *h, const lcf_request *q)
{
    lcf_buf generation = LCF_BUF_INIT;
    const bool found = has_model(&generation, h, q->parameter);
    lcf_answer answer;

    if (!found || generation.status) {
        lcf_buf_dispose(&generation);
        return found ? lcf_answer_fail(h, 503, "out_of_memory", "out of memory")
                     : lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
    }
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_wire_write_infer_model(&h->body, q->parameter, lcf_buf_text(&generation));
    lcf_buf_dispose(&generation);
    return answer;
}

lcf_answer lcf_handle_v2_infer(lcf_handler *h, const lcf_request *q)
{
    lcf_wire_infer asked;
    lcf_err err = LCF_ERR_INIT;
    lcf_answer answer;
    lcf_status status;

    if (!has_model(NULL, h, q->parameter))
        return lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
    status = lcf_wire_parse_infer(&asked, &h->wire, q->body, q->body_bytes, "body",
                                  h->shared->options.candidates_max, &err);
    h->wire.request.arm = q->parameter;
    if (!status)
        status = lcf_handler_rank(h, q, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    if (lcf_wire_write_infer(&h->body, &asked, q->parameter, &h->response))
        return lcf_answer_fail(h, 503, "out_of_memory", "out of memory, try again");
    return answer;
}
