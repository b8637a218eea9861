/*
 * POST /v1/rank, and the ranking that all handlers which rank share.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#include "online/server/handlers.h"

#include "common/base/progress.h"

/* Names the request, and keeps what was asked and shown where it is among the share. */
static void log_request(lcf_handler *h, const lcf_rank_response *response)
{
    lcf_request_log *log = h->shared->request_log;

    if (!log)
        return;
    lcf_request_log_next_id(h->request_id, log);
    if (lcf_request_log_wants(log, h->request_id))
        lcf_request_log_write(log, &h->line, h->request_id, &h->wire.request, response);
}

lcf_status lcf_handler_rank(lcf_rank_response *response, lcf_handler *h, lcf_err *err)
{
    lcf_status status;

    lcf_handler_refresh(h);
    if (!h->context)
        return LCF_FAIL(err, LCF_ENOMEM, "ranking context");
    status = lcf_rank(response, h->context, &h->wire.request, err);
    if (!status)
        log_request(h, response);
    return status;
}

lcf_answer lcf_handle_rank(lcf_handler *h, const lcf_request *q)
{
    const lcf_server_options *o = &h->shared->options;
    const lcf_wire_options wire = {false, o->example_users};
    const double start_s = lcf_clock_s();
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;
    lcf_answer answer;
    lcf_status status =
        lcf_wire_parse(&h->wire, q->body, q->body_bytes, "body", o->candidates_max, &err);

    if (!status)
        status = lcf_handler_rank(&response, h, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_wire_write(&h->body, &response, &wire);
    lcf_metrics_rank(h->metrics, &response, h->wire.request.candidates_n, lcf_clock_s() - start_s);
    return answer;
}
