/*
 * Open Inference Protocol, version 2, over HTTP (online/rank/wire_infer.h): what it says of the
 * server and of its models, and scores. Errors are {"error": text} (lcf_answer_fail).
 */
#include "online/server/handlers.h"

#include "common/base/cli.h"
#include "online/rank/wire_infer.h"

#include <stdio.h>
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

/* Whether a model is there, in the version that the path names if it names one. Else the answer
 * says what is not. */
static bool find_model(lcf_answer *answer, lcf_handler *h, const lcf_request *q,
                       const lcf_rank_info *info)
{
    const char *model = q->parameters[0], *version = q->parameters[1];
    char text[64 + 2 * LCF_PARAMETER_BYTES];
    bool found = false;

    for (size_t i = 0; i < info->arms_n; i++)
        found |= !strcmp(info->arms[i], model);
    if (!found) {
        *answer = lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
        return false;
    }
    if (!*version || !strcmp(version, info->generation))
        return true;
    snprintf(text, sizeof(text), "version %s is not served, %s is", version, info->generation);
    *answer = lcf_answer_fail(h, 404, "not_found", text);
    return false;
}

lcf_answer lcf_handle_v2_model_ready(lcf_handler *h, const lcf_request *q)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info info;
    lcf_answer answer;

    lcf_rank_info_of(&info, g->snapshot);
    if (find_model(&answer, h, q, &info))
        answer = ready(h, q->parameters[0]);
    lcf_generation_release(g);
    return answer;
}

lcf_answer lcf_handle_v2_model(lcf_handler *h, const lcf_request *q)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info info;
    lcf_answer answer;

    lcf_rank_info_of(&info, g->snapshot);
    if (find_model(&answer, h, q, &info)) {
        answer = lcf_answer_ok(h, LCF_TYPE_JSON);
        lcf_wire_write_infer_model(&h->body, q->parameters[0], info.generation);
    }
    lcf_generation_release(g);
    return answer;
}

lcf_answer lcf_handle_v2_infer(lcf_handler *h, const lcf_request *q)
{
    lcf_wire_infer asked;
    lcf_rank_info info;
    lcf_err err = LCF_ERR_INIT;
    lcf_answer answer;
    lcf_status status;

    lcf_handler_refresh(h);
    lcf_rank_info_of(&info, h->generation->snapshot);
    if (!find_model(&answer, h, q, &info))
        return answer;
    status = lcf_wire_parse_infer(&asked, &h->wire, q->body, q->body_bytes, "body",
                                  h->shared->options.candidates_max, &err);
    h->wire.request.arm = q->parameters[0];
    if (!status)
        status = lcf_handler_rank(h, q, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    if (*q->parameters[1] && strcmp(q->parameters[1], h->response.generation))
        return lcf_answer_fail(h, 404, "not_found", "another version has just taken its place");
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    if (lcf_wire_write_infer(&h->body, &asked, q->parameters[0], &h->response))
        return lcf_answer_fail(h, 503, "out_of_memory", "out of memory, try again");
    return answer;
}
