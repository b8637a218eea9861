/*
 * One worker on libevent's evhttp, which reads requests, bounds them, and writes answers. Added
 * here is what it does not do: an absolute deadline for a whole request and for a whole answer (its
 * own timeout starts again with every byte), a limit on connections, and a drain.
 *
 * Invariant: a connection record holds a reference to its bufferevent, so neither it nor its file
 * descriptor goes away under the record. evhttp clears the callbacks of a bufferevent when it is
 * done with it; the sweep, which runs between events, then drops the record.
 */
#include "online/server/worker.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "online/server/handlers.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_US 100000
#define LISTEN_MAX 2
/* Read a little past the limit, so that most bodies that are too large get an answer in JSON. */
#define BODY_SLACK 2

typedef struct connection {
    lcf_worker *worker;
    struct bufferevent *bev;
    double deadline_s; /* of the request being read or answered; 0 between requests */
    struct connection *next;
} connection;

struct lcf_worker {
    lcf_shared *shared;
    lcf_metrics metrics;
    lcf_handler handler;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *bound[LISTEN_MAX];
    size_t bound_n;
    struct event *wake_event, *sweep_event;
    int wake_fd;
    connection *connections;
    size_t connections_n, connections_max;
    bool full;               /* accepting is suspended */
    double drain_deadline_s; /* 0: not draining */
    pthread_t thread;
    bool started;
};

/* ---- connections ---- */

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    connection *c = arg;

    (void)buffer;
    if (info->n_added && c->deadline_s == 0.0)
        c->deadline_s = lcf_clock_s() + c->worker->shared->options.request_timeout_s;
}

static void set_accepting(lcf_worker *w, bool accepting)
{
    w->full = !accepting;
    for (size_t i = 0; i < w->bound_n; i++) {
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(w->bound[i]);
        if (accepting)
            evconnlistener_enable(listener);
        else
            evconnlistener_disable(listener);
    }
}

/* evhttp asks for the bufferevent of a connection that it has just accepted. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    lcf_worker *w = arg;
    connection *c = lcf_alloc_zero(1, sizeof(*c));
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (!c || !bev || !evbuffer_add_cb(bufferevent_get_input(bev), on_input, c)) {
        if (bev)
            bufferevent_free(bev);
        free(c);
        return NULL; /* evhttp makes one of its own: that connection has its plain timeouts */
    }
    bufferevent_incref(bev);
    *c = (connection){w, bev, 0.0, w->connections};
    w->connections = c;
    atomic_store_explicit(&w->metrics.connections, ++w->connections_n, memory_order_relaxed);
    if (w->connections_n >= w->connections_max)
        set_accepting(w, false);
    return bev;
}

static connection *find_connection(lcf_worker *w, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;
    connection *c = w->connections;

    while (c && c->bev != bev)
        c = c->next;
    return c;
}

static bool connection_is_over(const connection *c)
{
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;

    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &arg);
    return !event_cb;
}

static void drop_connection(lcf_worker *w, connection **link)
{
    connection *c = *link;

    *link = c->next;
    evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
    bufferevent_decref(c->bev);
    free(c);
    atomic_store_explicit(&w->metrics.connections, --w->connections_n, memory_order_relaxed);
}

/* Drops what is over; ends what is late: evhttp sees the end of the stream and cleans up itself. */
static size_t sweep_connections(lcf_worker *w, double now_s)
{
    size_t in_flight = 0;

    for (connection **link = &w->connections; *link;) {
        connection *c = *link;
        if (connection_is_over(c)) {
            drop_connection(w, link);
            continue;
        }
        if (c->deadline_s != 0.0 && now_s > c->deadline_s) {
            shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
            atomic_fetch_add_explicit(&w->metrics.deadlines, 1, memory_order_relaxed);
            c->deadline_s = now_s + 3600.0; /* once */
        } else if (c->deadline_s != 0.0) {
            in_flight++;
        }
        link = &c->next;
    }
    return in_flight;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    lcf_worker *w = arg;
    double now_s = lcf_clock_s();
    size_t in_flight = sweep_connections(w, now_s);

    (void)fd;
    (void)what;
    if (w->full && w->drain_deadline_s == 0.0 && w->connections_n < w->connections_max)
        set_accepting(w, true);
    if (w->drain_deadline_s != 0.0 && (in_flight == 0 || now_s > w->drain_deadline_s))
        event_base_loopbreak(w->base);
}

/* ---- requests ---- */

static void on_complete(struct evhttp_request *req, void *arg)
{
    lcf_worker *w = arg;
    connection *c = find_connection(w, req);

    if (!c)
        return;
    /* The beginning of the next request may be here already. */
    c->deadline_s = evbuffer_get_length(bufferevent_get_input(c->bev))
                        ? lcf_clock_s() + w->shared->options.request_timeout_s
                        : 0.0;
}

static bool has_duplicate_length(struct evhttp_request *req)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    size_t n = 0;

    for (const struct evkeyval *h = headers->tqh_first; h; h = h->next.tqe_next)
        n += !strcasecmp(h->key, "Content-Length");
    return n > 1;
}

static lcf_method method_of(struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return LCF_METHOD_GET;
    case EVHTTP_REQ_POST:
        return LCF_METHOD_POST;
    default:
        return LCF_METHOD_OTHER;
    }
}

static void send_answer(lcf_worker *w, struct evhttp_request *req, const lcf_answer *answer)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();

    /* Before it leaves: who has the answer must find it counted. */
    lcf_metrics_code(&w->metrics, answer->code);
    evhttp_add_header(headers, "Content-Type", answer->type);
    if (answer->allow)
        evhttp_add_header(headers, "Allow", answer->allow);
    if (*w->handler.request_id)
        evhttp_add_header(headers, "X-Request-Id", w->handler.request_id);
    if (answer->close || w->drain_deadline_s != 0.0)
        evhttp_add_header(headers, "Connection", "close");
    if (!body ||
        (w->handler.body.len && evbuffer_add(body, w->handler.body.data, w->handler.body.len) < 0))
        evhttp_send_reply(req, 503, lcf_answer_reason(503), NULL);
    else
        evhttp_send_reply(req, answer->code, lcf_answer_reason(answer->code), body);
    if (body)
        evbuffer_free(body);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    lcf_worker *w = arg;
    connection *c = find_connection(w, req);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    struct evbuffer *input = evhttp_request_get_input_buffer(req);
    size_t bytes = evbuffer_get_length(input);
    const char *body = bytes ? (const char *)evbuffer_pullup(input, -1) : NULL;
    lcf_request q = {.method = method_of(req),
                     .path = uri ? evhttp_uri_get_path(uri) : NULL,
                     .body = body ? body : "",
                     .body_bytes = body ? bytes : 0,
                     .duplicate_length = has_duplicate_length(req)};
    lcf_answer answer;

    evhttp_request_set_on_complete_cb(req, on_complete, w);
    answer = lcf_handle(&w->handler, &q);
    if (c)
        c->deadline_s = lcf_clock_s() + w->shared->options.request_timeout_s;
    send_answer(w, req, &answer);
}

/* ---- life ---- */

static void begin_drain(lcf_worker *w)
{
    for (size_t i = 0; i < w->bound_n; i++)
        evhttp_del_accept_socket(w->http, w->bound[i]);
    w->bound_n = 0;
    w->drain_deadline_s = lcf_clock_s() + w->shared->options.request_timeout_s;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    lcf_worker *w = arg;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        lcf_log(LCF_LOG_ERROR, "a worker cannot read its event: %s", strerror(errno));
    if (atomic_load(&w->shared->draining) && w->drain_deadline_s == 0.0)
        begin_drain(w);
    lcf_handler_refresh(&w->handler);
}

static lcf_status create_events(lcf_worker *w, lcf_err *err)
{
    const struct timeval every = {0, SWEEP_US};

    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->wake_fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot create an event descriptor");
    w->base = event_base_new();
    if (!w->base)
        return LCF_FAIL(err, LCF_ENOMEM, "event loop");
    w->wake_event = event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    w->sweep_event = event_new(w->base, -1, EV_PERSIST, on_sweep, w);
    if (!w->wake_event || !w->sweep_event || event_add(w->wake_event, NULL) < 0 ||
        event_add(w->sweep_event, &every) < 0)
        return LCF_FAIL(err, LCF_ENOMEM, "events of a worker");
    return LCF_OK;
}

static lcf_status create_http(lcf_worker *w, lcf_err *err)
{
    const lcf_server_options *o = &w->shared->options;
    const struct timeval idle = {
        (time_t)o->idle_timeout_s,
        (suseconds_t)((o->idle_timeout_s - (time_t)o->idle_timeout_s) * 1e6)};

    w->http = evhttp_new(w->base);
    if (!w->http)
        return LCF_FAIL(err, LCF_ENOMEM, "HTTP of a worker");
    evhttp_set_max_headers_size(w->http, (ev_ssize_t)o->header_bytes_max);
    evhttp_set_max_body_size(w->http, (ev_ssize_t)(o->body_bytes_max * BODY_SLACK));
    evhttp_set_timeout_tv(w->http, &idle);
    evhttp_set_flags(w->http, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_default_content_type(w->http, NULL);
    /* All of them reach the handlers, which say 405 and what is allowed. */
    evhttp_set_allowed_methods(w->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                            EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(w->http, on_request, w);
    evhttp_set_bevcb(w->http, on_connection, w);
    return LCF_OK;
}

static lcf_status add_listener(lcf_worker *w, int fd, lcf_err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return LCF_FAIL_ERRNO(err, "cannot share a listening socket");
    LCF_ASSERT(w->bound_n < LISTEN_MAX);
    w->bound[w->bound_n] = evhttp_accept_socket_with_handle(w->http, copy);
    if (!w->bound[w->bound_n]) {
        close(copy);
        return LCF_FAIL(err, LCF_ENOMEM, "listener of a worker");
    }
    w->bound_n++;
    return LCF_OK;
}

lcf_status lcf_worker_create(lcf_worker **out, lcf_shared *shared, const int *listen_fds,
                             size_t listen_n, lcf_err *err)
{
    lcf_worker *w = lcf_alloc_zero(1, sizeof(*w));
    lcf_status status;

    *out = NULL;
    if (!w)
        return LCF_FAIL(err, LCF_ENOMEM, "worker");
    w->shared = shared;
    w->wake_fd = -1;
    w->connections_max = shared->options.connections_max / shared->workers_n;
    if (w->connections_max < 1)
        w->connections_max = 1;
    lcf_handler_init(&w->handler, shared, &w->metrics);
    status = create_events(w, err);
    if (!status)
        status = create_http(w, err);
    for (size_t i = 0; !status && i < listen_n; i++)
        status = add_listener(w, listen_fds[i], err);
    if (!status) {
        *out = w;
        w = NULL;
    }
    lcf_worker_free(w);
    return status;
}

void lcf_worker_free(lcf_worker *w)
{
    if (!w)
        return;
    if (w->http)
        evhttp_free(w->http);
    while (w->connections)
        drop_connection(w, &w->connections);
    if (w->wake_event)
        event_free(w->wake_event);
    if (w->sweep_event)
        event_free(w->sweep_event);
    if (w->base)
        event_base_free(w->base);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    lcf_handler_dispose(&w->handler);
    free(w);
}

lcf_metrics *lcf_worker_metrics(lcf_worker *w)
{
    return &w->metrics;
}

static void *run(void *arg)
{
    lcf_worker *w = arg;

    lcf_flush_denormals();
    lcf_handler_refresh(&w->handler);
    event_base_dispatch(w->base);
    return NULL;
}

lcf_status lcf_worker_start(lcf_worker *w, lcf_err *err)
{
    errno = pthread_create(&w->thread, NULL, run, w);
    if (errno)
        return LCF_FAIL_ERRNO(err, "cannot start a worker thread");
    w->started = true;
    return LCF_OK;
}

void lcf_worker_wake(lcf_worker *w)
{
    const uint64_t one = 1;

    if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        lcf_log(LCF_LOG_ERROR, "a worker cannot be woken: %s", strerror(errno));
}

void lcf_worker_join(lcf_worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}
