/*
 * Answers to everything but ranking. Errors are JSON with a reason that a client's author can act
 * on; they never hold what the client did not send or may not know.
 */
#include "online/server/handlers.h"

#include "common/base/cli.h"
#include "common/base/progress.h"

#include <inttypes.h>
#include <string.h>

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

void lcf_handler_init(lcf_handler *h, lcf_shared *shared, lcf_metrics *metrics, size_t context_idx)
{
    memset(h, 0, sizeof(*h));
    h->context_idx = context_idx;
    h->shared = shared;
    h->metrics = metrics;
    lcf_wire_init(&h->wire);
}

void lcf_handler_dispose(lcf_handler *h)
{
    lcf_generation_release(h->generation);
    lcf_wire_dispose(&h->wire);
    lcf_buf_dispose(&h->body);
    lcf_buf_dispose(&h->line);
}

void lcf_handler_refresh(lcf_handler *h)
{
    h->generation = lcf_reloader_renew(h->shared->reloader, h->generation);
    h->context =
        h->context_idx < h->generation->contexts_n ? h->generation->contexts[h->context_idx] : NULL;
}

const char *lcf_answer_reason(int code)
{
    static const struct {
        int code;
        const char *reason;
    } REASONS[] = {{200, "OK"},
                   {202, "Accepted"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {413, "Payload Too Large"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"}};

    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++)
        if (REASONS[i].code == code)
            return REASONS[i].reason;
    LCF_ASSERT(!"a code without a text");
    return NULL;
}

lcf_answer lcf_answer_ok(lcf_handler *h, const char *type)
{
    lcf_buf_reset(&h->body);
    return (lcf_answer){200, type, NULL, false};
}

lcf_answer lcf_answer_fail(lcf_handler *h, int code, const char *status, const char *text)
{
    lcf_metrics_reject(h->metrics, status);
    lcf_buf_reset(&h->body);
    if (h->v2) {
        lcf_buf_append_text(&h->body, "{\"error\":");
        lcf_wire_write_string(&h->body, text);
        lcf_buf_append_char(&h->body, '}');
    } else {
        lcf_wire_write_error(&h->body, status, text);
    }
    return (lcf_answer){code, LCF_TYPE_JSON, NULL, false};
}

int lcf_answer_code(lcf_status status)
{
    switch (status) {
    case LCF_EINVAL:
    case LCF_EFORMAT:
    case LCF_ELIMIT:
    case LCF_EVERSION:
        return 400;
    case LCF_ENOTFOUND:
        return 404;
    case LCF_ENOMEM:
        return 503;
    default:
        return 500;
    }
}

lcf_answer lcf_answer_refused(lcf_handler *h, lcf_status status, const lcf_err *err)
{
    switch (lcf_answer_code(status)) {
    case 400:
        return lcf_answer_fail(h, 400, status == LCF_ELIMIT ? "limit" : "bad_request", err->text);
    case 404:
        return lcf_answer_fail(h, 404, "not_found", err->text);
    case 503:
        lcf_log(LCF_LOG_ERROR, "a request failed: %s", err->text);
        return lcf_answer_fail(h, 503, "out_of_memory", "out of memory, try again");
    default:
        lcf_log(LCF_LOG_ERROR, "a request failed: %s", err->text);
        return lcf_answer_fail(h, 500, "internal", lcf_status_text(status));
    }
}

/* ---- health, snapshot, metrics ---- */

static void write_arms(lcf_buf *out, const lcf_rank_info *info)
{
    lcf_buf_append_text(out, ",\"arms\":[");
    for (size_t i = 0; i < info->arms_n; i++) {
        lcf_buf_append_text(out, i ? "," : "");
        lcf_wire_write_string(out, info->arms[i]);
    }
    lcf_buf_append_char(out, ']');
}

lcf_answer lcf_handle_health(lcf_handler *h, const lcf_request *q)
{
    lcf_generation *g;
    lcf_rank_info info;
    lcf_answer answer;

    (void)q;
    if (atomic_load(&h->shared->draining))
        return lcf_answer_fail(h, 503, "draining", "this server is stopping");
    g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info_of(&info, g->snapshot);
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_buf_append_text(&h->body, "{\"status\":\"ok\",\"generation\":");
    lcf_wire_write_string(&h->body, info.generation);
    lcf_buf_printf(&h->body, ",\"id\":\"%s\",\"version\":\"" LCF_VERSION "\"", info.id);
    write_arms(&h->body, &info);
    lcf_buf_append_char(&h->body, '}');
    lcf_generation_release(g);
    return answer;
}

static void write_reloads(lcf_buf *out, lcf_reloader *reloader)
{
    lcf_reload_state state;
    uint64_t refused_n = 0;

    lcf_reloader_state(&state, reloader);
    for (size_t i = 0; i < LCF_REFUSALS_N; i++)
        refused_n += state.counts.refused_n[i];
    lcf_buf_printf(out, ",\"reloads\":%" PRIu64 ",\"reloads_refused\":%" PRIu64,
                   state.counts.done_n, refused_n);
    if (*state.pinned) {
        lcf_buf_append_text(out, ",\"pinned\":");
        lcf_wire_write_string(out, state.pinned);
    }
    if (*state.refused) {
        lcf_buf_append_text(out, ",\"refused\":");
        lcf_wire_write_string(out, state.refused);
    }
}

lcf_answer lcf_handle_snapshot(lcf_handler *h, const lcf_request *q)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_rank_info info;

    (void)q;
    lcf_rank_info_of(&info, g->snapshot);
    lcf_buf_append_text(&h->body, "{\"generation\":");
    lcf_wire_write_string(&h->body, info.generation);
    lcf_buf_printf(&h->body,
                   ",\"id\":\"%s\",\"loaded_time\":%" PRId64
                   ",\"users_n\":%zu,\"items_n\":%zu,\"examples_n\":%zu",
                   info.id, g->loaded_time, info.users_n, info.items_n, info.examples_n);
    write_arms(&h->body, &info);
    lcf_buf_append_text(&h->body, ",\"default_arm\":");
    lcf_wire_write_string(&h->body, info.default_arm);
    write_reloads(&h->body, h->shared->reloader);
    lcf_buf_append_char(&h->body, '}');
    lcf_generation_release(g);
    return answer;
}

lcf_answer lcf_handle_metrics(lcf_handler *h, const lcf_request *q)
{
    lcf_answer answer = lcf_answer_ok(h, TYPE_METRICS);
    lcf_shared *shared = h->shared;
    lcf_generation *g = lcf_reloader_acquire(shared->reloader);
    lcf_metrics_global global = {.loaded_time = g->loaded_time, .workers = shared->workers_n};
    lcf_reload_state state;

    (void)q;
    lcf_reloader_state(&state, shared->reloader);
    global.reloads = state.counts;
    if (shared->shadow)
        lcf_shadow_counts_of(&global.shadow, shared->shadow);
    lcf_rank_info_of(&global.snapshot, g->snapshot);
    lcf_metrics_write(&h->body, shared->metrics, shared->metrics_n, &global);
    lcf_generation_release(g);
    return answer;
}
