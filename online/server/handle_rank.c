/*
 * POST /v1/rank, and the ranking that all handlers which rank share.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md, schemas/rank_binary.md
 */
#include "online/server/handlers.h"

#include "common/base/progress.h"

/* Names the request, and keeps what was asked and shown where it is among the share. */
static void log_request(lcf_handler *h, double arm_propensity)
{
    lcf_request_log *log = h->shared->request_log;

    h->logged = false;
    if (!log)
        return;
    lcf_request_log_next_id(h->request_id, log);
    h->logged = lcf_request_log_wants(log, h->request_id);
    if (h->logged)
        lcf_request_log_write(log, &h->line, h->request_id, &h->wire.request, &h->response,
                              arm_propensity);
}

double lcf_handler_choose_arm(lcf_handler *h)
{
    lcf_rank_request *r = &h->wire.request;
    double propensity = 1.0;

    h->lacks_arm = !r->arm && !lcf_arm_split_of(&r->arm, &propensity, &h->shared->split, r->user_id,
                                                h->generation->snapshot);
    return propensity;
}

void lcf_handler_flag_arm(const lcf_handler *h, lcf_rank_response *response)
{
    if (h->lacks_arm)
        response->degraded = "unknown_arm"; /* what an operator can mend comes first */
}

lcf_status lcf_handler_rank(lcf_handler *h, const lcf_request *q, lcf_err *err)
{
    lcf_rank_request *r = &h->wire.request;
    double arm_propensity;
    lcf_status status;

    h->parsed_s = lcf_clock_s();
    lcf_handler_refresh(h);
    r->deadline_s = q->deadline_s;
    arm_propensity = lcf_handler_choose_arm(h);
    status = lcf_rank(&h->response, h->context, r, err);
    if (status)
        return status;
    lcf_handler_flag_arm(h, &h->response);
    log_request(h, arm_propensity);
    h->ranked = true;
    h->ranked_s = lcf_clock_s();
    return LCF_OK;
}

lcf_answer lcf_handle_rank(lcf_handler *h, const lcf_request *q)
{
    const lcf_server_options *o = &h->shared->options;
    const lcf_wire_options wire = {.example_users = o->example_users};
    lcf_err err = LCF_ERR_INIT;
    lcf_answer answer;
    lcf_status status =
        q->binary
            ? lcf_wire_parse_binary(&h->wire, q->body, q->body_bytes, o->candidates_max, &err)
            : lcf_wire_parse(&h->wire, q->body, q->body_bytes, "body", o->candidates_max, &err);

    if (!status)
        status = lcf_handler_rank(h, q, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    lcf_recorder_keep(h->shared->recorder, q->body, q->body_bytes, q->binary);
    if (h->shared->shadow && h->logged)
        lcf_shadow_offer(h->shared->shadow, h->request_id, q->body, q->body_bytes, q->binary);
    answer = lcf_answer_ok(h, q->wants_binary ? LCF_WIRE_BINARY_TYPE : LCF_TYPE_JSON);
    if (q->wants_binary)
        lcf_wire_write_binary(&h->body, &h->response);
    else
        lcf_wire_write(&h->body, &h->response, &wire);
    return answer;
}
