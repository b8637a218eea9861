/*
 * The remote engine: rows are asked of an OpenAI-compatible endpoint, up to `concurrency` at a time
 * over connections that are kept alive, by one thread around libcurl's multi interface. A row is
 * handed back (and so committed) before its place is given to another.
 *
 * Invariant: redirects are not followed, so the key goes to the one address it was given for; and
 * what is said about a failure never holds the key.
 */
#include "offline/recgen/endpoint.h"

#include "common/base/mem.h"
#include "common/base/progress.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RESPONSE_BYTES_MAX ((size_t)8 << 20)
#define RETRY_AFTER_S_MAX 900.0 /* who asks for more is left alone until the next run */
#define LOST_IN_A_ROW_MAX 3     /* rows given up without an answer in between */
#define REFUSED_FIRST_MAX 4     /* refusals before any answer: it is not the rows */
#define POLL_MS_MAX 500         /* between looks at the stop flag */

typedef enum call_state { CALL_FREE, CALL_WAITING, CALL_RUNNING } call_state;

typedef struct call { /* a row on its way */
    call_state state;
    lcf_ask ask;
    CURL *easy;
    char *body;
    lcf_buf response;
    bool response_too_large;
    double not_before_s;       /* when waiting */
    size_t failures;           /* of the present request */
    lcf_openai_reply *replies; /* [candidates_n] several where the server makes fewer at a time */
    size_t replies_n;
    lcf_answer *answers; /* [candidates_n] */
    size_t answers_n;
    uint64_t prompt_tokens_n;
} call;

typedef struct remote {
    lcf_engine face;
    lcf_engine_options o;
    lcf_endpoint_options endpoint;
    char *address, *key;
    char model_id[LCF_OPENAI_ID_BYTES];
    CURLM *multi;
    struct curl_slist *headers;
    call *calls; /* [concurrency] */
    lcf_rng rng; /* of the waits alone */
    /* of the run in progress */
    const lcf_job *job;
    double paused_until_s; /* the server asked all of us to wait */
    bool over;             /* no further request is begun */
    size_t answered_n, lost_n, lost_in_a_row_n, refused_n;
    char trouble[256]; /* the latest failure, for people */
} remote;

/* ---- set-up ---- */

static lcf_status add_header(remote *r, const char *text, lcf_err *err)
{
    struct curl_slist *list = curl_slist_append(r->headers, text);

    if (!list)
        return LCF_FAIL(err, LCF_ENOMEM, "HTTP headers");
    r->headers = list;
    return LCF_OK;
}

static lcf_status make_headers(remote *r, lcf_err *err)
{
    lcf_buf line = LCF_BUF_INIT;
    lcf_status status = add_header(r, "Content-Type: application/json", err);

    if (!status)
        status = add_header(r, "Expect:", err); /* no round trip before a body */
    if (!status && r->key) {
        lcf_buf_printf(&line, "Authorization: Bearer %s", r->key);
        status =
            line.status ? LCF_FAIL(err, LCF_ENOMEM, "HTTP headers") : add_header(r, line.data, err);
        lcf_endpoint_key_free(lcf_buf_take(&line));
    }
    return status;
}

static size_t receive(char *data, size_t size, size_t n, void *arg)
{
    call *c = arg;

    if (c->response.len + size * n > RESPONSE_BYTES_MAX) {
        c->response_too_large = true;
        return 0;
    }
    lcf_buf_append(&c->response, data, size * n);
    return c->response.status ? 0 : size * n;
}

static bool set_options(const remote *r, call *c)
{
    CURL *e = c->easy;

    return !curl_easy_setopt(e, CURLOPT_URL, r->address) &&
           !curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers) &&
           !curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) &&
           !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                             (long)(r->endpoint.connect_timeout_s * 1e3)) &&
           !curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(r->endpoint.timeout_s * 1e3)) &&
           !curl_easy_setopt(e, CURLOPT_USERAGENT, "llmcf") &&
           !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive) &&
           !curl_easy_setopt(e, CURLOPT_WRITEDATA, c) && !curl_easy_setopt(e, CURLOPT_PRIVATE, c);
}

static lcf_status open_calls(remote *r, lcf_err *err)
{
    size_t n = r->endpoint.concurrency;

    r->calls = lcf_alloc_zero(n, sizeof(*r->calls));
    if (!r->calls)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu requests", n);
    for (size_t i = 0; i < n; i++) {
        call *c = &r->calls[i];
        c->easy = curl_easy_init();
        c->replies = lcf_alloc_zero(r->o.decoding.candidates_n, sizeof(*c->replies));
        c->answers = lcf_alloc_zero(r->o.decoding.candidates_n, sizeof(*c->answers));
        if (!c->easy || !c->replies || !c->answers || !set_options(r, c))
            return LCF_FAIL(err, LCF_ENOMEM, "%zu requests", n);
    }
    return LCF_OK;
}

static void forget_answers(call *c)
{
    for (size_t i = 0; i < c->replies_n; i++)
        lcf_openai_reply_dispose(&c->replies[i]);
    c->replies_n = c->answers_n = 0;
    c->prompt_tokens_n = 0;
}

static void close_call(remote *r, call *c)
{
    if (c->easy) {
        if (c->state == CALL_RUNNING)
            curl_multi_remove_handle(r->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    if (c->replies)
        forget_answers(c);
    free(c->replies);
    free(c->answers);
    free(c->body);
    lcf_buf_dispose(&c->response);
}

static void free_remote(lcf_engine *e)
{
    remote *r = (remote *)e;

    for (size_t i = 0; r->calls && i < r->endpoint.concurrency; i++)
        close_call(r, &r->calls[i]);
    free(r->calls);
    curl_multi_cleanup(r->multi);
    for (struct curl_slist *h = r->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(r->headers);
    lcf_endpoint_key_free(r->key);
    free(r->address);
    free(r);
}

/* ---- one request ---- */

static void __attribute__((format(printf, 2, 3))) note(remote *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->trouble, sizeof(r->trouble), format, args);
    va_end(args);
    lcf_utf8_mend(r->trouble);
    if (r->key && strstr(r->trouble, r->key)) /* parsers quote what they cannot read */
        snprintf(r->trouble, sizeof(r->trouble), "an answer that is none, with the API key in it");
    r->face.stats.failures_n++;
}

/* The body for the candidates that a row still lacks. */
static lcf_status make_body(remote *r, call *c, lcf_err *err)
{
    lcf_openai_request request = {r->endpoint.api, r->endpoint.model_name, r->o.decoding,
                                  lcf_openai_seed(c->ask.key, c->answers_n)};
    json_t *json;

    request.decoding.candidates_n -= c->answers_n;
    json = lcf_openai_body(&request, r->o.prompt, r->o.dataset, &c->ask.facts);

    free(c->body);
    c->body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return c->body ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "request");
}

static lcf_status start(remote *r, call *c, lcf_err *err)
{
    lcf_buf_reset(&c->response);
    c->response_too_large = false;
    if (curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(c->body)) ||
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body) ||
        curl_multi_add_handle(r->multi, c->easy))
        return LCF_FAIL(err, LCF_ENOMEM, "request");
    c->state = CALL_RUNNING;
    r->face.stats.requests_n++;
    return LCF_OK;
}

static void release(call *c)
{
    forget_answers(c);
    c->failures = 0;
    c->state = CALL_FREE;
}

/* A row goes without an answer; when that happens again and again, the endpoint is down. */
static void lose(remote *r, call *c)
{
    r->lost_n++;
    if (++r->lost_in_a_row_n >= LOST_IN_A_ROW_MAX)
        r->over = true;
    release(c);
}

static void retry(remote *r, call *c)
{
    double now = lcf_clock_s(), wait_s;
    curl_off_t asked_s = 0;

    if (++c->failures > r->endpoint.retries_max) {
        lose(r, c);
        return;
    }
    wait_s = lcf_endpoint_backoff_s(c->failures, r->endpoint.retry_wait_s, &r->rng);
    curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &asked_s);
    if ((double)asked_s > RETRY_AFTER_S_MAX) {
        note(r, "it asks to be left alone for %.0f s", (double)asked_s);
        r->over = true;
        r->lost_n++;
        release(c);
        return;
    }
    if (asked_s > 0 && now + (double)asked_s > r->paused_until_s)
        r->paused_until_s = now + (double)asked_s;
    c->not_before_s = now + ((double)asked_s > wait_s ? (double)asked_s : wait_s);
    c->state = CALL_WAITING;
}

/* The server will not answer this request: perhaps with less history, else never. */
static lcf_status refused(remote *r, call *c, const char *message, lcf_err *err)
{
    if (lcf_openai_says_too_long(message) && r->job->shorten(r->job->arg, &c->ask)) {
        forget_answers(c); /* they are about items that are no longer shown */
        c->not_before_s = 0.0;
        c->state = CALL_WAITING;
        return make_body(r, c, err);
    }
    r->face.stats.rows_refused++;
    r->refused_n++;
    if (!r->answered_n && r->refused_n >= REFUSED_FIRST_MAX)
        r->over = true;
    release(c);
    return LCF_OK;
}

static lcf_status http_failure(remote *r, call *c, long http, lcf_err *err)
{
    lcf_buf message = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    lcf_openai_error(&message, lcf_buf_text(&c->response), c->response.len, r->key);
    note(r, "HTTP %ld%s%s", http, message.len ? ": " : "", lcf_buf_text(&message));
    switch (lcf_endpoint_verdict(http)) {
    case LCF_VERDICT_AGAIN:
        retry(r, c);
        break;
    case LCF_VERDICT_REFUSED:
        status = refused(r, c, lcf_buf_text(&message), err);
        break;
    default:
        status = http >= 300 && http < 400
                     ? LCF_FAIL(err, LCF_EINVAL,
                                "HTTP %ld: a redirect; they are not followed, because the API key "
                                "would go along: give the final address",
                                http)
                     : LCF_FAIL(err, LCF_EINVAL, "the endpoint refuses: %s", r->trouble);
    }
    lcf_buf_dispose(&message);
    return status;
}

/* All candidates of the row are there. */
static lcf_status hand_back(remote *r, call *c, lcf_err *err)
{
    lcf_status status = r->job->done(r->job->arg, &c->ask, c->answers, c->answers_n,
                                     (size_t)c->prompt_tokens_n, err);

    r->answered_n++;
    r->lost_in_a_row_n = 0;
    release(c);
    return status;
}

static lcf_status answered(remote *r, call *c, lcf_err *err)
{
    lcf_openai_reply *reply = &c->replies[c->replies_n];
    lcf_err wrong = LCF_ERR_INIT;
    lcf_status status =
        lcf_openai_parse(reply, lcf_buf_text(&c->response), c->response.len, &wrong);

    if (status == LCF_ENOMEM)
        return LCF_FAIL(err, status, "answer of the endpoint");
    if (status) {
        note(r, "an answer that is none: %s", wrong.text);
        retry(r, c);
        return LCF_OK;
    }
    c->replies_n++;
    c->prompt_tokens_n = reply->prompt_tokens_n;
    for (size_t i = 0; i < reply->n && c->answers_n < r->o.decoding.candidates_n; i++)
        c->answers[c->answers_n++] = reply->answers[i];
    if (c->answers_n == r->o.decoding.candidates_n)
        return hand_back(r, c, err);
    c->failures = 0; /* it made fewer than asked for: ask for the others */
    c->not_before_s = 0.0;
    c->state = CALL_WAITING;
    return make_body(r, c, err);
}

static lcf_status transport_failure(remote *r, call *c, CURLcode code, lcf_err *err)
{
    if (c->response.status)
        return LCF_FAIL(err, LCF_ENOMEM, "answer of the endpoint");
    if (c->response_too_large) {
        note(r, "an answer of more than %zu MiB", RESPONSE_BYTES_MAX >> 20);
        return refused(r, c, "", err);
    }
    note(r, "%s", curl_easy_strerror(code));
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return LCF_FAIL(err, LCF_EINVAL, "%s: %s", r->address, r->trouble);
    case CURLE_OUT_OF_MEMORY:
        return LCF_FAIL(err, LCF_ENOMEM, "request");
    default:
        retry(r, c);
        return LCF_OK;
    }
}

static lcf_status ended(remote *r, call *c, CURLcode code, lcf_err *err)
{
    long http = 0;

    curl_multi_remove_handle(r->multi, c->easy);
    c->state = CALL_FREE;
    if (code)
        return transport_failure(r, c, code, err);
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
    return lcf_endpoint_verdict(http) == LCF_VERDICT_ANSWERED ? answered(r, c, err)
                                                              : http_failure(r, c, http, err);
}

/* ---- the loop ---- */

static lcf_status take_rows(remote *r, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->endpoint.concurrency && !status && !r->over; i++) {
        call *c = &r->calls[i];
        if (c->state != CALL_FREE)
            continue;
        if (!r->job->take(r->job->arg, &c->ask, 1))
            return LCF_OK;
        c->not_before_s = 0.0;
        c->state = CALL_WAITING;
        status = make_body(r, c, err);
    }
    return status;
}

/* Begins what is due. When the work is to end, what waits is given up. *wait_s: until the next. */
static lcf_status start_due(double *wait_s, remote *r, lcf_err *err)
{
    bool stopping = r->over || r->job->stopping(r->job->arg);
    double now = lcf_clock_s();
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < r->endpoint.concurrency && !status; i++) {
        call *c = &r->calls[i];
        double due_s = c->not_before_s > r->paused_until_s ? c->not_before_s : r->paused_until_s;
        if (c->state != CALL_WAITING)
            continue;
        if (stopping)
            release(c);
        else if (due_s <= now)
            status = start(r, c, err);
        else if (due_s - now < *wait_s)
            *wait_s = due_s - now;
    }
    return status;
}

static bool busy(const remote *r)
{
    for (size_t i = 0; i < r->endpoint.concurrency; i++)
        if (r->calls[i].state != CALL_FREE)
            return true;
    return false;
}

/* *n: how many requests have ended. */
static lcf_status collect(size_t *n, remote *r, lcf_err *err)
{
    lcf_status status = LCF_OK;
    CURLMsg *message;
    int left;

    *n = 0;
    while (!status && (message = curl_multi_info_read(r->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result; /* before the handle is removed */
            call *c = NULL;
            ++*n;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&c);
            status = ended(r, c, code, err);
        }
    return status;
}

static lcf_status step(bool *more, remote *r, lcf_err *err)
{
    double wait_s = POLL_MS_MAX / 1e3;
    size_t ended_n;
    int running;
    lcf_status status = take_rows(r, err);

    if (!status)
        status = start_due(&wait_s, r, err);
    *more = busy(r);
    if (status || !*more)
        return status;
    if (curl_multi_perform(r->multi, &running))
        return LCF_FAIL(err, LCF_EIO, "libcurl cannot go on with its connections");
    status = collect(&ended_n, r, err);
    if (status || ended_n) /* their places are free: fill them before waiting */
        return status;
    if (curl_multi_poll(r->multi, NULL, 0, (int)(wait_s * 1e3) + 1, NULL))
        return LCF_FAIL(err, LCF_EIO, "libcurl cannot wait for its connections");
    return LCF_OK;
}

/* How it went, once nothing is under way. */
static lcf_status conclude(const remote *r, lcf_err *err)
{
    if (r->refused_n && !r->answered_n)
        return LCF_FAIL(err, LCF_EINVAL, "the endpoint refuses every row: %s", r->trouble);
    if (r->lost_n)
        return LCF_FAIL(err, LCF_EBUSY,
                        "%zu rows went without an answer (%s); the others are stored, the same "
                        "command goes on",
                        r->lost_n, r->trouble);
    if (r->refused_n)
        lcf_log(LCF_LOG_WARN, "the endpoint refused %zu rows, for example: %s", r->refused_n,
                r->trouble);
    return LCF_OK;
}

static lcf_status run(lcf_engine *e, const lcf_job *job, lcf_err *err)
{
    remote *r = (remote *)e;
    lcf_status status = LCF_OK;
    bool more = true;

    r->job = job;
    r->over = false;
    while (more && !status)
        status = step(&more, r, err);
    return status ? status : conclude(r, err);
}

lcf_status lcf_engine_remote_create(lcf_engine **out, const lcf_engine_options *options,
                                    const lcf_endpoint_options *endpoint, lcf_err *err)
{
    remote *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_status status;

    *out = NULL;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "engine");
    r->o = *options;
    r->endpoint = *endpoint;
    r->face.run = run;
    r->face.free = free_remote;
    r->face.model_id = r->model_id;
    lcf_openai_model_id(r->model_id, endpoint->api, endpoint->model_name);
    lcf_rng_seed(&r->rng, lcf_clock_ns(), 0); /* of many clients each waits another time */
    status = lcf_endpoint_address(&r->address, endpoint->url, endpoint->api, err);
    if (!status)
        status = lcf_endpoint_key(&r->key, endpoint->key_file, err);
    if (!status)
        status = make_headers(r, err);
    if (!status && !(r->multi = curl_multi_init()))
        status = LCF_FAIL(err, LCF_ENOMEM, "libcurl");
    if (!status)
        status = open_calls(r, err);
    if (status) {
        free_remote(&r->face);
        return status;
    }
    *out = &r->face;
    return LCF_OK;
}
