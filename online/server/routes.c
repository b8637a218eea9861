/*
 * The table of routes, and the way from a request to its handler. The table is all there is: what
 * is not in it is 404, and what is in it with another method is 405 with the methods that are.
 */
#include "online/server/handlers.h"

#include "common/base/progress.h"

#include <stdio.h>
#include <string.h>

static const lcf_route ROUTES[] = {
    {LCF_METHOD_POST, "/v1/rank", 0, lcf_handle_rank},
    {LCF_METHOD_POST, "/v1/explain", 0, lcf_handle_explain},
    {LCF_METHOD_GET, "/v1/users", 0, lcf_handle_users},
    {LCF_METHOD_GET, "/v1/users/*", 0, lcf_handle_users},
    {LCF_METHOD_GET, "/v1/items", 0, lcf_handle_items},
    {LCF_METHOD_GET, "/v1/items/*", 0, lcf_handle_items},
    {LCF_METHOD_GET, "/", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_page},
    {LCF_METHOD_GET, "/page.css", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_page_css},
    {LCF_METHOD_GET, "/page.js", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_page_js},
    {LCF_METHOD_GET, "/v1/snapshot", LCF_ROUTE_INLINE, lcf_handle_snapshot},
    {LCF_METHOD_POST, "/v1/admin/reload", LCF_ROUTE_INLINE | LCF_ROUTE_ADMIN, lcf_handle_reload},
    {LCF_METHOD_POST, "/v1/admin/snapshot", LCF_ROUTE_INLINE | LCF_ROUTE_ADMIN, lcf_handle_switch},
    {LCF_METHOD_GET, "/healthz", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_health},
    {LCF_METHOD_GET, "/metrics", LCF_ROUTE_INLINE, lcf_handle_metrics},
    {LCF_METHOD_GET, "/v2", LCF_ROUTE_INLINE, lcf_handle_v2_server},
    {LCF_METHOD_GET, "/v2/health/live", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_v2_live},
    {LCF_METHOD_GET, "/v2/health/ready", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN, lcf_handle_v2_ready},
    {LCF_METHOD_GET, "/v2/models/*", LCF_ROUTE_INLINE, lcf_handle_v2_model},
    {LCF_METHOD_GET, "/v2/models/*/ready", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN,
     lcf_handle_v2_model_ready},
    {LCF_METHOD_POST, "/v2/models/*/infer", 0, lcf_handle_v2_infer},
    {LCF_METHOD_GET, "/v2/models/*/versions/*", LCF_ROUTE_INLINE, lcf_handle_v2_model},
    {LCF_METHOD_GET, "/v2/models/*/versions/*/ready", LCF_ROUTE_INLINE | LCF_ROUTE_OPEN,
     lcf_handle_v2_model_ready},
    {LCF_METHOD_POST, "/v2/models/*/versions/*/infer", 0, lcf_handle_v2_infer},
};
#define ROUTES_N (sizeof(ROUTES) / sizeof(ROUTES[0]))

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A segment of a path without its percent signs; false when it is empty, too long or not a text. */
static bool decode_segment(char out[LCF_PARAMETER_BYTES], const char *text, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)text[i];

        if (c == '%') {
            const int high = i + 2 < n ? hex_digit(text[i + 1]) : -1;
            const int low = i + 2 < n ? hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = 16 * high + low;
            i += 2;
        }
        if (c == 0 || len + 1 >= LCF_PARAMETER_BYTES)
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return len > 0 && lcf_utf8_valid(out, len);
}

/* Whether a path is that of the route; `parameters` receive what stands at its "*", "" behind them.
 */
static bool matches(char parameters[LCF_PARAMETERS_N][LCF_PARAMETER_BYTES], const char *route,
                    const char *path)
{
    size_t n = 0, head = strcspn(route, "*");

    for (; route[head]; head = strcspn(route, "*")) {
        const char *segment = path + head;

        if (strncmp(path, route, head) ||
            !decode_segment(parameters[n++], segment, strcspn(segment, "/")))
            return false;
        path = segment + strcspn(segment, "/");
        route += head + 1;
    }
    for (; n < LCF_PARAMETERS_N; n++)
        *parameters[n] = '\0';
    return !strcmp(path, route);
}

static lcf_answer not_found(lcf_handler *h)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_answer answer;

    lcf_buf_append_text(&text, "there is");
    for (size_t i = 0; i < ROUTES_N; i++)
        lcf_buf_printf(&text, "%s %s %s", i ? "," : "",
                       ROUTES[i].method == LCF_METHOD_POST ? "POST" : "GET", ROUTES[i].path);
    answer = lcf_answer_fail(h, 404, "not_found", lcf_buf_text(&text));
    lcf_buf_dispose(&text);
    return answer;
}

static lcf_answer method_not_allowed(lcf_handler *h, unsigned methods)
{
    static const char *const ALLOW[] = {"", "GET, HEAD", "POST", "GET, HEAD, POST"};
    lcf_answer answer = lcf_answer_fail(h, 405, "method_not_allowed",
                                        "this path takes another method, see the Allow header");

    answer.allow = ALLOW[methods];
    return answer;
}

/* The route, or NULL and the methods that the path has: 1 << lcf_method, none where there is no
 * such path. */
static const lcf_route *find_route(unsigned *methods, lcf_request *q)
{
    *methods = 0;
    for (size_t i = 0; q->path && i < ROUTES_N; i++) {
        const lcf_route *r = &ROUTES[i];

        if (!matches(q->parameters, r->path, q->path))
            continue;
        if (r->method == q->method)
            return r;
        *methods |= 1u << r->method;
    }
    return NULL;
}

static lcf_answer too_large(lcf_handler *h)
{
    char text[96];

    snprintf(text, sizeof(text), "the body has more than %zu bytes",
             h->shared->options.body_bytes_max);
    return lcf_answer_fail(h, 413, "too_large", text);
}

/* The header's milliseconds, or the server's. */
static bool read_deadline(lcf_request *q, double default_s)
{
    uint64_t ms;

    if (q->timeout &&
        (!lcf_parse_u64(q->timeout, strlen(q->timeout), &ms) || ms < 1 || ms > LCF_TIMEOUT_MS_MAX))
        return false;
    if (q->timeout)
        q->deadline_s = q->arrived_s + (double)ms / 1e3;
    else if (default_s > 0.0)
        q->deadline_s = q->arrived_s + default_s;
    return true;
}

/* False, and its answer, where the request may not come this way. */
static bool may_pass(lcf_answer *answer, lcf_handler *h, const lcf_route *route,
                     const lcf_request *q)
{
    const unsigned flags = route ? route->flags : 0;

    if (!(flags & LCF_ROUTE_OPEN) && !lcf_access_allows(h->shared->access, q->authorization)) {
        *answer = lcf_answer_fail(h, 401, "unauthorized", "a bearer token is needed");
        return false;
    }
    if (flags & LCF_ROUTE_ADMIN && !q->over_unix) {
        *answer = lcf_answer_fail(h, 403, "admin_only", "this is asked over the Unix socket");
        return false;
    }
    return true;
}

const lcf_route *lcf_admit(lcf_answer *answer, lcf_handler *h, lcf_request *q)
{
    const lcf_route *route;
    unsigned methods;

    q->v2 = q->path && !strncmp(q->path, "/v2", 3) && (!q->path[3] || q->path[3] == '/');
    h->v2 = q->v2;
    if (q->bad_framing) {
        *answer = lcf_answer_fail(h, 400, "bad_request",
                                  "one Content-Length in digits, or Transfer-Encoding: chunked, "
                                  "and no body of a method that has none");
        answer->close = true;
        return NULL;
    }
    if (q->body_bytes > h->shared->options.body_bytes_max) {
        *answer = too_large(h);
        answer->close = true;
        return NULL;
    }
    route = find_route(&methods, q);
    if (!may_pass(answer, h, route, q))
        return NULL;
    if (!route) {
        *answer = methods ? method_not_allowed(h, methods) : not_found(h);
        return NULL;
    }
    if (!read_deadline(q, h->shared->options.deadline_s)) {
        *answer = lcf_answer_fail(h, 400, "bad_request",
                                  LCF_TIMEOUT_HEADER " is a number of milliseconds");
        return NULL;
    }
    return route;
}

/* What lcf_handler_rank leaves to be counted. */
static void count_ranking(lcf_handler *h, const lcf_request *q, double start_s)
{
    const lcf_rank_response *r = &h->response;
    const double end_s = lcf_clock_s();
    const double stages_s[LCF_STAGES_N] = {[LCF_STAGE_QUEUE] = start_s - q->arrived_s,
                                           [LCF_STAGE_PARSE] = h->parsed_s - start_s,
                                           [LCF_STAGE_RETRIEVE] = r->retrieve_ms / 1e3,
                                           [LCF_STAGE_ICT] = r->ict_ms / 1e3,
                                           [LCF_STAGE_BACKBONE] = (r->score_ms - r->ict_ms) / 1e3,
                                           [LCF_STAGE_SERIALISE] = end_s - h->ranked_s};

    lcf_metrics_rank(h->metrics, r, h->wire.request.candidates_n, stages_s, end_s - q->arrived_s);
}

lcf_answer lcf_handle(lcf_handler *h, const lcf_route *route, const lcf_request *q)
{
    const double start_s = lcf_clock_s();
    lcf_answer answer;

    *h->request_id = '\0';
    h->ranked = false;
    h->v2 = q->v2;
    answer = route->handle(h, q);
    if (h->ranked)
        count_ranking(h, q, start_s);
    if (h->body.status) {
        lcf_buf_dispose(&h->body);
        answer = (lcf_answer){503, LCF_TYPE_JSON, NULL, true};
    }
    return answer;
}
