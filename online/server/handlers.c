/*
 * Routes and answers. Errors are JSON with a reason that a client's author can act on; they never
 * hold what the client did not send or may not know.
 */
#include "online/server/handlers.h"

#include "common/base/cli.h"
#include "common/base/progress.h"

#include <stdio.h>
#include <string.h>

#define TYPE_JSON "application/json"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

void lcf_handler_init(lcf_handler *h, lcf_shared *shared, lcf_metrics *metrics)
{
    memset(h, 0, sizeof(*h));
    h->shared = shared;
    h->metrics = metrics;
    lcf_wire_init(&h->wire);
}

void lcf_handler_dispose(lcf_handler *h)
{
    lcf_rank_context_free(h->context);
    lcf_generation_release(h->generation);
    lcf_wire_dispose(&h->wire);
    lcf_buf_dispose(&h->body);
    lcf_buf_dispose(&h->line);
}

void lcf_handler_refresh(lcf_handler *h)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_context *context = NULL;
    lcf_err err = LCF_ERR_INIT;

    if (g == h->generation) {
        lcf_generation_release(g);
        return;
    }
    if (lcf_rank_context_create(&context, g->snapshot, &err)) {
        lcf_log(LCF_LOG_ERROR, "the new snapshot waits: %s", err.text);
        lcf_generation_release(g);
        return;
    }
    lcf_rank_context_free(h->context);
    lcf_generation_release(h->generation);
    h->context = context;
    h->generation = g;
}

static lcf_answer fail(lcf_handler *h, int code, const char *reason, const char *status,
                       const char *text)
{
    lcf_answer answer = {code, reason, TYPE_JSON, NULL, false};

    lcf_buf_reset(&h->body);
    lcf_wire_write_error(&h->body, status, text);
    return answer;
}

static lcf_answer method_not_allowed(lcf_handler *h, const char *allow)
{
    lcf_answer answer = fail(h, 405, "Method Not Allowed", "method_not_allowed",
                             "this path takes another method, see the Allow header");

    answer.allow = allow;
    return answer;
}

static lcf_answer too_large(lcf_handler *h)
{
    char text[96];
    lcf_answer answer;

    snprintf(text, sizeof(text), "the body has more than %zu bytes",
             h->shared->options.body_bytes_max);
    answer = fail(h, 413, "Payload Too Large", "too_large", text);
    answer.close = true;
    return answer;
}

static lcf_answer refused(lcf_handler *h, lcf_status status, const lcf_err *err)
{
    if (status == LCF_ENOMEM) {
        lcf_log(LCF_LOG_ERROR, "a request failed: %s", err->text);
        return fail(h, 503, "Service Unavailable", "out_of_memory", "out of memory, try again");
    }
    if (status == LCF_EINVAL || status == LCF_EFORMAT || status == LCF_ELIMIT)
        return fail(h, 400, "Bad Request", status == LCF_ELIMIT ? "limit" : "bad_request",
                    err->text);
    lcf_log(LCF_LOG_ERROR, "a request failed: %s", err->text);
    return fail(h, 500, "Internal Server Error", "internal", lcf_status_text(status));
}

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

static lcf_answer handle_rank(lcf_handler *h, const char *body, size_t body_bytes)
{
    const lcf_server_options *o = &h->shared->options;
    lcf_wire_options wire = {false, o->example_users};
    lcf_answer answer = {200, "OK", TYPE_JSON, NULL, false};
    double start_s = lcf_clock_s();
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    if (body_bytes > o->body_bytes_max)
        return too_large(h);
    status = lcf_wire_parse(&h->wire, body_bytes ? body : "", body_bytes, "body", o->candidates_max,
                            &err);
    if (status)
        return refused(h, status, &err);
    lcf_handler_refresh(h);
    if (!h->context)
        return fail(h, 503, "Service Unavailable", "out_of_memory", "out of memory, try again");
    status = lcf_rank(&response, h->context, &h->wire.request, &err);
    if (status)
        return refused(h, status, &err);
    lcf_buf_reset(&h->body);
    lcf_wire_write(&h->body, &response, &wire);
    log_request(h, &response);
    lcf_metrics_rank(h->metrics, &response, h->wire.request.candidates_n, lcf_clock_s() - start_s);
    return answer;
}

static lcf_answer handle_health(lcf_handler *h)
{
    lcf_answer answer = {200, "OK", TYPE_JSON, NULL, false};
    lcf_generation *g;
    lcf_rank_info info;

    if (atomic_load(&h->shared->draining))
        return fail(h, 503, "Service Unavailable", "draining", "this server is stopping");
    g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info_of(&info, g->snapshot);
    lcf_buf_reset(&h->body);
    lcf_buf_append_text(&h->body, "{\"status\":\"ok\",\"generation\":");
    lcf_wire_write_string(&h->body, info.generation);
    lcf_buf_printf(&h->body, ",\"id\":\"%s\",\"version\":\"" LCF_VERSION "\",\"arms\":[", info.id);
    for (size_t i = 0; i < info.arms_n; i++) {
        lcf_buf_append_text(&h->body, i ? "," : "");
        lcf_wire_write_string(&h->body, info.arms[i]);
    }
    lcf_buf_append_text(&h->body, "]}");
    lcf_generation_release(g);
    return answer;
}

static lcf_answer handle_metrics(lcf_handler *h)
{
    lcf_answer answer = {200, "OK", TYPE_METRICS, NULL, false};
    lcf_shared *shared = h->shared;
    lcf_generation *g = lcf_reloader_acquire(shared->reloader);
    lcf_metrics_global global = {.loaded_time = g->loaded_time,
                                 .reloads = lcf_reloader_reloads(shared->reloader),
                                 .reloads_refused = lcf_reloader_refused(shared->reloader),
                                 .workers = shared->workers_n};

    lcf_rank_info_of(&global.snapshot, g->snapshot);
    lcf_buf_reset(&h->body);
    lcf_metrics_write(&h->body, shared->metrics, shared->workers_n, &global);
    lcf_generation_release(g);
    return answer;
}

static lcf_answer route(lcf_handler *h, lcf_method method, const char *path, const char *body,
                        size_t body_bytes)
{
    if (path && !strcmp(path, "/v1/rank"))
        return method == LCF_METHOD_POST ? handle_rank(h, body, body_bytes)
                                         : method_not_allowed(h, "POST");
    if (path && !strcmp(path, "/healthz"))
        return method == LCF_METHOD_GET ? handle_health(h) : method_not_allowed(h, "GET, HEAD");
    if (path && !strcmp(path, "/metrics"))
        return method == LCF_METHOD_GET ? handle_metrics(h) : method_not_allowed(h, "GET, HEAD");
    return fail(h, 404, "Not Found", "not_found",
                "there are POST /v1/rank, GET /healthz and GET /metrics");
}

lcf_answer lcf_handle(lcf_handler *h, lcf_method method, const char *path, const char *body,
                      size_t body_bytes, bool duplicate_length)
{
    lcf_answer answer;

    *h->request_id = '\0';
    if (duplicate_length) {
        answer = fail(h, 400, "Bad Request", "bad_request", "more than one Content-Length");
        answer.close = true;
    } else {
        answer = route(h, method, path, body, body_bytes);
    }
    if (h->body.status) {
        lcf_buf_dispose(&h->body);
        answer = (lcf_answer){503, "Service Unavailable", TYPE_JSON, NULL, true};
    }
    return answer;
}
