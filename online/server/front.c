/*
 * The front on libevent's evhttp, which reads requests, bounds them, and writes answers. Added here
 * is what it does not do: an absolute deadline for a whole request and for a whole answer (its own
 * timeout starts again with every byte), a limit on connections, jobs for the workers, and a drain
 * that loses no request.
 *
 * Invariant: a connection record holds a reference to its bufferevent, so neither it nor its file
 * descriptor goes away under the record. evhttp clears the callbacks of a bufferevent when it is
 * done with it; the sweep, which runs between events, then drops the record.
 *
 * Invariant: evhttp reads nothing from a connection whose request waits for its answer, so that
 * request lives until the answer is sent; where the connection ends before (at the very end of a
 * drain), on_close tells the job.
 */
#include "online/server/front.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "online/server/job.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_US 50000
/* From the moment when no connection can begin any more to the last look at those that have. */
#define ACCEPT_S 0.1
/* How long nobody is accepted after that failed, for want of descriptors mostly. */
#define ACCEPT_AGAIN_S 0.25
/* Read a little past the limit, so that most bodies that are too large get an answer in JSON. */
#define BODY_SLACK 2

typedef struct connection {
    lcf_front *front;
    struct bufferevent *bev;
    int fd;            /* once a request was read; -1 before */
    bool is_unix;      /* with fd */
    double deadline_s; /* of the request being read or of its answer being sent; INFINITY while we
                          make it, 0 between requests */
    struct connection *next;
} connection;

struct lcf_front {
    lcf_shared *shared;
    lcf_metrics metrics;
    lcf_handler handler;
    struct event_base *base;
    struct evhttp *http;
    struct {
        struct evhttp_bound_socket *socket;
        bool inherited;
    } bound[LCF_LISTENERS_MAX];
    size_t bound_n;
    struct event *wake_event, *sweep_event;
    connection *connections;
    size_t connections_n;
    connection **by_fd; /* [by_fd_n] */
    size_t by_fd_n;
    lcf_job *jobs; /* [jobs_n] */
    size_t jobs_n;
    lcf_job *free_jobs;
    bool full;            /* accepting is suspended */
    double accept_s;      /* when what refuse_for_now has suspended goes on */
    double drain_start_s; /* 0: not draining */
    pthread_t thread;
    bool started;
};

/* ---- connections ---- */

static double deadline_from_now(const lcf_front *f)
{
    return lcf_clock_s() + f->shared->options.request_timeout_s;
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    connection *c = arg;

    (void)buffer;
    if (info->n_added && c->deadline_s == 0.0)
        c->deadline_s = deadline_from_now(c->front);
}

static void set_accepting(lcf_front *f, bool accepting)
{
    f->full = !accepting;
    for (size_t i = 0; i < f->bound_n; i++) {
        struct evconnlistener *listener = evhttp_bound_socket_get_listener(f->bound[i].socket);
        if (accepting)
            evconnlistener_enable(listener);
        else
            evconnlistener_disable(listener);
    }
}

/* Whoever waits to be accepted keeps waiting: without this the loop would fail, and say so, as
 * often as it can turn. The sweep tries again. */
static void refuse_for_now(struct evconnlistener *listener, void *arg)
{
    (void)arg; /* evhttp's */
    lcf_log(LCF_LOG_WARN, "cannot accept a connection: %s", strerror(errno));
    evconnlistener_disable(listener);
}

/* evhttp asks for the bufferevent of a connection that it has just accepted. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    lcf_front *f = arg;
    connection *c = lcf_alloc_zero(1, sizeof(*c));
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (!c || !bev || !evbuffer_add_cb(bufferevent_get_input(bev), on_input, c)) {
        if (bev)
            bufferevent_free(bev);
        free(c);
        return NULL; /* evhttp makes one of its own: that connection has its plain timeouts */
    }
    bufferevent_incref(bev);
    *c = (connection){.front = f, .bev = bev, .fd = -1, .next = f->connections};
    f->connections = c;
    atomic_store_explicit(&f->metrics.connections, ++f->connections_n, memory_order_relaxed);
    if (f->connections_n >= f->shared->options.connections_max)
        set_accepting(f, false);
    return bev;
}

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);

    return getsockname(fd, (struct sockaddr *)&address, &n) == 0 && address.ss_family == AF_UNIX;
}

/* So that the next request of the connection finds it by its descriptor. An answer leaves in
 * pieces, of which the last must not wait until the client has acknowledged the others: it may take
 * its time, 40 ms as a rule. */
static void remember(lcf_front *f, connection *c, int fd)
{
    const size_t known = f->by_fd_n;
    const int one = 1;

    c->fd = fd;
    c->is_unix = is_unix_socket(fd);
    if (!c->is_unix)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (lcf_grow((void **)&f->by_fd, &f->by_fd_n, (size_t)fd + 1, sizeof(*f->by_fd)))
        return;
    memset(f->by_fd + known, 0, (f->by_fd_n - known) * sizeof(*f->by_fd));
    f->by_fd[fd] = c;
}

static connection *find_connection(lcf_front *f, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;
    const int fd = bev ? bufferevent_getfd(bev) : -1;
    connection *c = fd >= 0 && (size_t)fd < f->by_fd_n ? f->by_fd[fd] : NULL;

    if (fd < 0 || (c && c->bev == bev))
        return c;
    for (c = f->connections; c && c->bev != bev;)
        c = c->next;
    if (c)
        remember(f, c, fd);
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

static void drop_connection(lcf_front *f, connection **link)
{
    connection *c = *link;

    *link = c->next;
    if (c->fd >= 0 && (size_t)c->fd < f->by_fd_n && f->by_fd[c->fd] == c)
        f->by_fd[c->fd] = NULL;
    evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
    bufferevent_decref(c->bev);
    free(c);
    atomic_store_explicit(&f->metrics.connections, --f->connections_n, memory_order_relaxed);
}

/* Drops what is over; ends what is late: evhttp sees the end of the stream and cleans up itself. */
static size_t sweep_connections(lcf_front *f, double now_s)
{
    size_t in_flight = 0;

    for (connection **link = &f->connections; *link;) {
        connection *c = *link;
        if (connection_is_over(c)) {
            drop_connection(f, link);
            continue;
        }
        if (c->deadline_s != 0.0 && now_s > c->deadline_s) {
            shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
            atomic_fetch_add_explicit(&f->metrics.deadlines, 1, memory_order_relaxed);
            c->deadline_s = now_s + 3600.0; /* once */
        } else if (c->deadline_s != 0.0) {
            in_flight++;
        }
        link = &c->next;
    }
    return in_flight;
}

/* ---- drain ---- */

/*
 * From here on no connection can begin, and those that have are accepted: one that is refused knows
 * that nothing was asked, one that is reset does not. Packets to a socket of ours are dropped (its
 * client tries again and is refused once the socket is closed); an inherited one goes on without
 * us.
 */
static void begin_drain(lcf_front *f)
{
    struct sock_filter drop_all[1] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const struct sock_fprog program = {1, drop_all};

    f->drain_start_s = lcf_clock_s();
    for (size_t i = 0; i < f->bound_n; i++) {
        const int fd = evhttp_bound_socket_get_fd(f->bound[i].socket);

        if (!f->bound[i].inherited && !is_unix_socket(fd))
            (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    }
    set_accepting(f, true);
}

static void stop_listening(lcf_front *f)
{
    for (size_t i = 0; i < f->bound_n; i++)
        evhttp_del_accept_socket(f->http, f->bound[i].socket);
    f->bound_n = 0;
}

/* Connections between requests may still send one for a while: their clients cannot know. */
static bool is_drained(const lcf_front *f, size_t in_flight, double now_s)
{
    const lcf_server_options *o = &f->shared->options;
    const double since_s = now_s - f->drain_start_s;

    if (since_s < ACCEPT_S)
        return false;
    return f->connections_n == 0 || (in_flight == 0 && since_s > o->linger_s) ||
           since_s > o->linger_s + o->request_timeout_s;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    lcf_front *f = arg;
    const double now_s = lcf_clock_s();
    const size_t in_flight = sweep_connections(f, now_s);

    (void)fd;
    (void)what;
    atomic_fetch_add_explicit(&f->shared->front_beats, 1, memory_order_relaxed);
    if (f->connections_n < f->shared->options.connections_max &&
        (f->full || now_s >= f->accept_s)) {
        set_accepting(f, true);
        f->accept_s = now_s + ACCEPT_AGAIN_S;
    }
    if (f->drain_start_s == 0.0)
        return;
    if (now_s - f->drain_start_s > ACCEPT_S)
        stop_listening(f);
    if (is_drained(f, in_flight, now_s))
        event_base_loopbreak(f->base);
}

/* ---- jobs ---- */

static lcf_job *take_job(lcf_front *f)
{
    lcf_job *job = f->free_jobs;

    if (job)
        f->free_jobs = job->next;
    return job;
}

static void give_job_back(lcf_front *f, lcf_job *job)
{
    lcf_buf_reset(&job->in);
    job->req = NULL;
    job->next = f->free_jobs;
    f->free_jobs = job;
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    lcf_job *job = arg;

    (void)evcon;
    job->req = NULL;
}

/* Hands a request to the workers; false when there is no room for it. */
static bool enqueue(lcf_front *f, struct evhttp_request *req, const lcf_route *route,
                    const lcf_request *q)
{
    lcf_job *job = take_job(f);

    if (!job)
        return false;
    lcf_buf_append(&job->in, q->body, q->body_bytes);
    if (job->in.status) {
        lcf_buf_dispose(&job->in);
        give_job_back(f, job);
        return false;
    }
    job->route = route;
    job->q = *q;
    job->q.path = job->q.authorization = job->q.timeout = NULL; /* the connection's */
    job->q.body = lcf_buf_text(&job->in);
    job->req = req;
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, job);
    lcf_queue_push(&f->shared->queue, job);
    return true;
}

/* ---- requests ---- */

static void on_complete(struct evhttp_request *req, void *arg)
{
    lcf_front *f = arg;
    connection *c = find_connection(f, req);

    if (!c)
        return;
    /* The beginning of the next request may be here already. */
    c->deadline_s = evbuffer_get_length(bufferevent_get_input(c->bev)) ? deadline_from_now(f) : 0.0;
}

/* evhttp reads no body after such a head: it would take it for the next request. */
static bool has_no_body(enum evhttp_cmd_type command)
{
    return command == EVHTTP_REQ_HEAD || command == EVHTTP_REQ_TRACE ||
           command == EVHTTP_REQ_CONNECT;
}

/* What a proxy may read otherwise than evhttp does, so that one of them takes the end of a request
 * for the next: a length said twice or not in digits, a coding other than chunked, both of them, a
 * body where evhttp expects none. */
static bool has_bad_framing(struct evhttp_request *req)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    size_t lengths_n = 0, codings_n = 0;
    bool has_body = false;

    for (const struct evkeyval *h = headers->tqh_first; h; h = h->next.tqe_next) {
        if (!strcasecmp(h->key, "Content-Length")) {
            lengths_n++;
            has_body |= h->value[strspn(h->value, "0")] != '\0';
            if (!*h->value || h->value[strspn(h->value, "0123456789")])
                return true;
        } else if (!strcasecmp(h->key, "Transfer-Encoding")) {
            codings_n++;
            has_body = true;
            if (strcasecmp(h->value, "chunked"))
                return true;
        }
    }
    return lengths_n + codings_n > 1 || (has_body && has_no_body(evhttp_request_get_command(req)));
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

/* Whether a header names that media type, alone or among others. */
static bool names_type(const struct evkeyvalq *headers, const char *header, const char *type)
{
    const char *value = evhttp_find_header(headers, header);

    return value && strcasestr(value, type);
}

static lcf_request request_of(struct evhttp_request *req, const connection *c)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    struct evbuffer *input = evhttp_request_get_input_buffer(req);
    const size_t bytes = evbuffer_get_length(input);
    const char *body = bytes ? (const char *)evbuffer_pullup(input, -1) : NULL;

    return (lcf_request){.method = method_of(req),
                         .path = uri ? evhttp_uri_get_path(uri) : NULL,
                         .body = body ? body : "",
                         .body_bytes = body ? bytes : 0,
                         .bad_framing = has_bad_framing(req),
                         .binary = names_type(headers, "Content-Type", LCF_WIRE_BINARY_TYPE),
                         .wants_binary = names_type(headers, "Accept", LCF_WIRE_BINARY_TYPE),
                         .over_unix = c && c->is_unix,
                         .authorization = evhttp_find_header(headers, "Authorization"),
                         .timeout = evhttp_find_header(headers, LCF_TIMEOUT_HEADER),
                         .arrived_s = lcf_clock_s()};
}

static void send_answer(lcf_front *f, struct evhttp_request *req, const lcf_answer *answer,
                        const lcf_buf *text, const char *request_id)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();
    connection *c = find_connection(f, req);
    const enum evhttp_cmd_type command = evhttp_request_get_command(req);
    const bool head = command == EVHTTP_REQ_HEAD;
    int code = answer->code;

    if (c)
        c->deadline_s = deadline_from_now(f);
    if (!body || (text->len && evbuffer_add(body, text->data, text->len) < 0))
        code = 503;
    /* Before it leaves: who has the answer must find it counted. */
    lcf_metrics_code(&f->metrics, code);
    evhttp_add_header(headers, "Content-Type", answer->type);
    if (answer->allow)
        evhttp_add_header(headers, "Allow", answer->allow);
    if (code == 401)
        evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
    if (code == 429 || code == 503)
        evhttp_add_header(headers, "Retry-After", "1");
    if (*request_id)
        evhttp_add_header(headers, "X-Request-Id", request_id);
    /* evhttp gives an answer to CONNECT no length: its end is that of the connection. */
    if (answer->close || f->drain_start_s != 0.0 || command == EVHTTP_REQ_CONNECT)
        evhttp_add_header(headers, "Connection", "close");
    /* evhttp would send a body after HEAD, too, and the next answer would begin with it. */
    evhttp_send_reply(req, code, lcf_answer_reason(code),
                      code == answer->code && !head ? body : NULL);
    if (body)
        evbuffer_free(body);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    lcf_front *f = arg;
    lcf_handler *h = &f->handler;
    connection *c = find_connection(f, req);
    lcf_request q = request_of(req, c);
    const lcf_route *route;
    lcf_answer answer;

    evhttp_request_set_on_complete_cb(req, on_complete, f);
    if (c)
        c->deadline_s = INFINITY; /* the client has done its part: now it waits for us */
    route = lcf_admit(&answer, h, &q);
    if (route && !(route->flags & LCF_ROUTE_INLINE)) {
        if (enqueue(f, req, route, &q))
            return;
        answer = lcf_answer_fail(h, 429, "queue_full", "too many requests are waiting, try later");
    } else if (route) {
        answer = lcf_handle(h, route, &q);
    }
    send_answer(f, req, &answer, &h->body, "");
}

static void send_done(lcf_front *f)
{
    lcf_job *job;

    while ((job = lcf_queue_try(&f->shared->done))) {
        if (job->req) {
            evhttp_connection_set_closecb(evhttp_request_get_connection(job->req), NULL, NULL);
            send_answer(f, job->req, &job->answer, &job->out, job->request_id);
        }
        give_job_back(f, job);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    lcf_front *f = arg;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        lcf_log(LCF_LOG_ERROR, "the front cannot read its event: %s", strerror(errno));
    send_done(f);
    if (atomic_load(&f->shared->draining) && f->drain_start_s == 0.0)
        begin_drain(f);
}

/* ---- life ---- */

static lcf_status create_events(lcf_front *f, lcf_err *err)
{
    const struct timeval every = {0, SWEEP_US};

    f->base = event_base_new();
    if (!f->base)
        return LCF_FAIL(err, LCF_ENOMEM, "event loop");
    f->wake_event = event_new(f->base, f->shared->front_fd, EV_READ | EV_PERSIST, on_wake, f);
    f->sweep_event = event_new(f->base, -1, EV_PERSIST, on_sweep, f);
    if (!f->wake_event || !f->sweep_event || event_add(f->wake_event, NULL) < 0 ||
        event_add(f->sweep_event, &every) < 0)
        return LCF_FAIL(err, LCF_ENOMEM, "events of the front");
    return LCF_OK;
}

static lcf_status create_http(lcf_front *f, lcf_err *err)
{
    const lcf_server_options *o = &f->shared->options;
    const struct timeval idle = {
        (time_t)o->idle_timeout_s,
        (suseconds_t)((o->idle_timeout_s - (double)(time_t)o->idle_timeout_s) * 1e6)};

    f->http = evhttp_new(f->base);
    if (!f->http)
        return LCF_FAIL(err, LCF_ENOMEM, "HTTP of the front");
    evhttp_set_max_headers_size(f->http, (ev_ssize_t)o->header_bytes_max);
    evhttp_set_max_body_size(f->http, (ev_ssize_t)(o->body_bytes_max * BODY_SLACK));
    evhttp_set_timeout_tv(f->http, &idle);
    evhttp_set_flags(f->http, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_default_content_type(f->http, NULL);
    /* All of them reach the routes, which say 405 and what is allowed. */
    evhttp_set_allowed_methods(f->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                            EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(f->http, on_request, f);
    evhttp_set_bevcb(f->http, on_connection, f);
    return LCF_OK;
}

static lcf_status add_listener(lcf_front *f, const lcf_listener *listener, lcf_err *err)
{
    const int copy = fcntl(listener->fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return LCF_FAIL_ERRNO(err, "cannot share a listening socket");
    LCF_ASSERT(f->bound_n < LCF_LISTENERS_MAX);
    f->bound[f->bound_n].inherited = listener->inherited;
    f->bound[f->bound_n].socket = evhttp_accept_socket_with_handle(f->http, copy);
    if (!f->bound[f->bound_n].socket) {
        close(copy);
        return LCF_FAIL(err, LCF_ENOMEM, "listener of the front");
    }
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(f->bound[f->bound_n].socket),
                                refuse_for_now);
    f->bound_n++;
    return LCF_OK;
}

/* One for each request that waits, and one for each that is being answered. */
static lcf_status create_jobs(lcf_front *f, lcf_err *err)
{
    f->jobs_n = f->shared->options.queue_max + f->shared->workers_n;
    f->jobs = lcf_alloc_zero(f->jobs_n, sizeof(*f->jobs));
    if (!f->jobs)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu jobs", f->jobs_n);
    for (size_t i = f->jobs_n; i-- > 0;)
        give_job_back(f, &f->jobs[i]);
    return LCF_OK;
}

lcf_status lcf_front_create(lcf_front **out, lcf_shared *shared, const lcf_listener *listeners,
                            size_t listeners_n, lcf_err *err)
{
    lcf_front *f = lcf_alloc_zero(1, sizeof(*f));
    lcf_status status;

    *out = NULL;
    if (!f)
        return LCF_FAIL(err, LCF_ENOMEM, "front");
    f->shared = shared;
    lcf_handler_init(&f->handler, shared, &f->metrics, LCF_NO_CONTEXT);
    status = create_jobs(f, err);
    if (!status)
        status = create_events(f, err);
    if (!status)
        status = create_http(f, err);
    for (size_t i = 0; !status && i < listeners_n; i++)
        status = add_listener(f, &listeners[i], err);
    if (!status) {
        *out = f;
        f = NULL;
    }
    lcf_front_free(f);
    return status;
}

void lcf_front_free(lcf_front *f)
{
    if (!f)
        return;
    if (f->http)
        evhttp_free(f->http);
    while (f->connections)
        drop_connection(f, &f->connections);
    if (f->wake_event)
        event_free(f->wake_event);
    if (f->sweep_event)
        event_free(f->sweep_event);
    if (f->base)
        event_base_free(f->base);
    for (size_t i = 0; f->jobs && i < f->jobs_n; i++) {
        lcf_buf_dispose(&f->jobs[i].in);
        lcf_buf_dispose(&f->jobs[i].out);
    }
    free(f->jobs);
    free(f->by_fd);
    lcf_handler_dispose(&f->handler);
    free(f);
}

lcf_metrics *lcf_front_metrics(lcf_front *f)
{
    return &f->metrics;
}

static void *run(void *arg)
{
    lcf_front *f = arg;

    event_base_dispatch(f->base);
    return NULL;
}

lcf_status lcf_front_start(lcf_front *f, lcf_err *err)
{
    errno = pthread_create(&f->thread, NULL, run, f);
    if (errno)
        return LCF_FAIL_ERRNO(err, "cannot start the front");
    f->started = true;
    return LCF_OK;
}

void lcf_front_join(lcf_front *f)
{
    if (f->started)
        pthread_join(f->thread, NULL);
    f->started = false;
}
