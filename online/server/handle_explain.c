/*
 * POST /v1/explain: the answer of /v1/rank, and why. It is not logged as shown to anybody and not
 * counted among the rankings. Of the results those are given that are explained before the
 * deadline.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#include "online/server/handlers.h"

lcf_answer lcf_handle_explain(lcf_handler *h, const lcf_request *q)
{
    const lcf_server_options *o = &h->shared->options;
    const lcf_wire_options wire = {false, o->example_users};
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;
    lcf_answer answer;
    lcf_status status =
        lcf_wire_parse(&h->wire, q->body, q->body_bytes, "body", o->candidates_max, &err);

    lcf_handler_refresh(h);
    if (!status)
        (void)lcf_handler_choose_arm(h);
    if (!status && !h->context)
        status = LCF_FAIL(&err, LCF_ENOMEM, "ranking context");
    h->wire.request.deadline_s = q->deadline_s;
    if (!status)
        status = lcf_rank_explain(&response, h->context, &h->wire.request, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    lcf_handler_flag_arm(h, &response);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_wire_write(&h->body, &response, &wire);
    return answer;
}
