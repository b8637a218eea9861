/*
 * The open-loop client on epoll.
 *
 * Invariant: requests [0, started) have been given to a connection, in the order of their moments;
 * a connection has at most one of them under way.
 */
#include "online/load/client.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/rng.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 64
#define HEAD_MAX ((size_t)64 << 10) /* an answer whose head is longer is none */
#define IDLE SIZE_MAX

typedef struct connection {
    int fd;         /* -1: to be opened */
    size_t request; /* under way; IDLE: none */
    lcf_str rest;   /* of it, not yet sent */
    lcf_buf answer;
    size_t head_n, body_n; /* head_n 0: not yet whole */
    int code;
    bool closes;
} connection;

struct lcf_load_client {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char host[256];
    connection *connections; /* [connections_n] */
    size_t connections_n;
    int epoll;
};

/* One run. */
typedef struct run {
    lcf_load_client *c;
    const lcf_load_plan *plan;
    lcf_load_result *out;
    double start_s;
    double *due_s;   /* [requests_n] after the start */
    uint32_t *which; /* [requests_n] of the plan's requests */
    size_t requests_n, started, done;
    uint64_t late;
} run;

/* ---- where to ---- */

static lcf_status unix_address(lcf_load_client *c, const char *path, lcf_err *err)
{
    struct sockaddr_un *a = (struct sockaddr_un *)&c->address;

    if (strlen(path) >= sizeof(a->sun_path))
        return LCF_FAIL(err, LCF_EINVAL, "the socket path %s is longer than %zu bytes", path,
                        sizeof(a->sun_path) - 1);
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, path, strlen(path));
    c->address_bytes = sizeof(*a);
    snprintf(c->host, sizeof(c->host), "localhost");
    return LCF_OK;
}

static lcf_status tcp_address(lcf_load_client *c, const char *name, lcf_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const size_t n = strcspn(name, "/");
    struct addrinfo *found;
    char *colon, host[256];

    if (n == 0 || n >= sizeof(c->host))
        return LCF_FAIL(err, LCF_EINVAL, "http://%s is no address", name);
    snprintf(c->host, sizeof(c->host), "%.*s", (int)n, name);
    snprintf(host, sizeof(host), "%s", c->host);
    colon = strrchr(host, ':');
    if (!colon || colon == host)
        return LCF_FAIL(err, LCF_EINVAL, "http://%s names no port; write http://127.0.0.1:8080",
                        name);
    *colon = '\0';
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        memmove(host, host + 1, strlen(host));
    }
    if (getaddrinfo(host, colon + 1, &hints, &found))
        return LCF_FAIL(err, LCF_EINVAL, "there is no address of the name %s", c->host);
    memcpy(&c->address, found->ai_addr, found->ai_addrlen);
    c->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return LCF_OK;
}

lcf_status lcf_load_open(lcf_load_client **out, const char *target, size_t connections_n,
                         lcf_err *err)
{
    lcf_load_client *c = lcf_alloc_zero(1, sizeof(*c));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!c)
        return LCF_FAIL(err, LCF_ENOMEM, "load client");
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->epoll < 0)
        status = LCF_FAIL_ERRNO(err, "cannot wait for sockets");
    else if (!strncmp(target, "unix:", 5))
        status = unix_address(c, target + 5, err);
    else if (!strncmp(target, "http://", 7))
        status = tcp_address(c, target + 7, err);
    else
        status =
            LCF_FAIL(err, LCF_EINVAL, "'%s' is neither http://HOST:PORT nor unix:PATH", target);
    c->connections = status ? NULL : lcf_alloc_zero(connections_n, sizeof(*c->connections));
    if (!status && !c->connections)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu connections", connections_n);
    for (size_t i = 0; !status && i < connections_n; i++)
        c->connections[i] = (connection){.fd = -1, .request = IDLE};
    c->connections_n = status ? 0 : connections_n;
    if (!status) {
        *out = c;
        c = NULL;
    }
    lcf_load_close(c);
    return status;
}

void lcf_load_close(lcf_load_client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->connections_n; i++) {
        if (c->connections[i].fd >= 0)
            close(c->connections[i].fd);
        lcf_buf_dispose(&c->connections[i].answer);
    }
    if (c->epoll >= 0)
        close(c->epoll);
    free(c->connections);
    free(c);
}

const char *lcf_load_host(const lcf_load_client *c)
{
    return c->host;
}

/* ---- connections ---- */

static bool connect_one(lcf_load_client *c, connection *x)
{
    const int one = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = x};

    x->fd = socket(c->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (x->fd < 0)
        return false;
    if (connect(x->fd, (const struct sockaddr *)&c->address, c->address_bytes) < 0 ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, x->fd, &event) < 0) {
        close(x->fd);
        x->fd = -1;
        return false;
    }
    if (c->address.ss_family != AF_UNIX)
        (void)setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return true;
}

static void disconnect(connection *x)
{
    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
}

static bool counts(const run *r, size_t request)
{
    return r->due_s[request] >= r->plan->warm_up_s;
}

/* Whether an answer, JSON or LCF_WIRE_BINARY_TYPE, says so of itself or of a candidate. */
static bool is_degraded(const char *body, size_t n)
{
    static const char none[4] = {0};

    if (n >= 16 && !memcmp(body, "LCFR", 4))
        return memcmp(body + 6, none, 2) || memcmp(body + 12, none, 4);
    return memmem(body, n, "\"degraded\":", 11) != NULL;
}

/* The request under way is over: with an answer, or without. */
static void finish(run *r, connection *x, bool answered)
{
    const double now_s = lcf_clock_s() - r->start_s;
    const size_t request = x->request;

    x->request = IDLE;
    r->done++;
    if (!answered || x->closes)
        disconnect(x);
    if (!counts(r, request))
        return;
    r->out->seconds = now_s - r->plan->warm_up_s;
    if (!answered) {
        r->out->failed++;
        return;
    }
    r->out->answered++;
    r->out->codes[x->code]++;
    r->out->bytes += x->body_n;
    if (x->code == 200)
        lcf_histogram_add(&r->out->latency, (uint64_t)((now_s - r->due_s[request]) * 1e9));
    r->late += r->plan->late_ms > 0 && (now_s - r->due_s[request]) * 1e3 > r->plan->late_ms;
    if (r->late > r->plan->late_max)
        r->requests_n = r->started;
    r->out->degraded += is_degraded(x->answer.data + x->head_n, x->body_n);
}

/* ---- answers ---- */

/* Reads the head once it is whole; false when it is none. */
static bool read_head(connection *x)
{
    const char *text = x->answer.data, *end, *length;

    end = memmem(text, x->answer.len, "\r\n\r\n", 4);
    if (!end)
        return x->answer.len < HEAD_MAX;
    x->head_n = (size_t)(end - text) + 4;
    x->answer.data[x->head_n - 1] = '\0'; /* the head is a text now */
    if (sscanf(text, "HTTP/1.%*1d %3d", &x->code) != 1 || x->code < 100 ||
        x->code >= LCF_LOAD_CODES_N)
        return false;
    length = strcasestr(text, "\r\ncontent-length:");
    x->body_n = length ? strtoul(length + 17, NULL, 10) : 0;
    x->closes = strcasestr(text, "\r\nconnection: close") != NULL;
    return true;
}

static void receive(run *r, connection *x)
{
    char block[1 << 16];
    ssize_t n;

    while ((n = recv(x->fd, block, sizeof(block), MSG_DONTWAIT)) > 0) {
        if (x->request == IDLE)
            break; /* nobody asked */
        lcf_buf_append(&x->answer, block, (size_t)n);
        if (x->answer.status || (!x->head_n && !read_head(x)))
            break;
        if (x->head_n && x->answer.len >= x->head_n + x->body_n) {
            finish(r, x, true);
            return;
        }
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (x->request != IDLE)
        finish(r, x, false);
    disconnect(x);
}

/* ---- requests ---- */

static void push(run *r, connection *x)
{
    while (x->rest.len) {
        const ssize_t n = send(x->fd, x->rest.data, x->rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            finish(r, x, false);
            return;
        }
        x->rest.data += n;
        x->rest.len -= (size_t)n;
    }
}

/* Whether the other side has closed a connection that is idle. */
static bool is_over(const connection *x)
{
    char byte;

    return recv(x->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void start(run *r, connection *x)
{
    const size_t request = r->started++;

    if (x->fd >= 0 && is_over(x))
        disconnect(x);
    x->request = request;
    x->rest = r->plan->requests[r->which[request]];
    x->head_n = x->body_n = 0;
    x->closes = false;
    lcf_buf_reset(&x->answer);
    if (counts(r, request))
        r->out->sent++;
    if (x->fd < 0 && !connect_one(r->c, x))
        finish(r, x, false);
    else
        push(r, x);
}

/* Gives what is due to whoever is free; returns the moment of the next, or a negative number. */
static double start_due(run *r)
{
    const double now_s = lcf_clock_s() - r->start_s;

    for (size_t i = 0; i < r->c->connections_n; i++) {
        if (r->started == r->requests_n)
            return -1;
        if (r->due_s[r->started] > now_s)
            return r->due_s[r->started];
        if (r->c->connections[i].request == IDLE)
            start(r, &r->c->connections[i]);
    }
    return -1; /* all are busy: an answer will wake us */
}

/* ---- the run ---- */

static lcf_status draw(run *r, lcf_err *err)
{
    const lcf_load_plan *p = r->plan;
    const double expected = p->rate * p->duration_s;
    size_t room = (size_t)(expected + 10 * sqrt(expected) + 16);
    lcf_rng rng;

    r->due_s = lcf_alloc(room, sizeof(*r->due_s));
    r->which = lcf_alloc(room, sizeof(*r->which));
    if (!r->due_s || !r->which)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu moments", room);
    lcf_rng_seed(&rng, p->seed, 0);
    for (double at_s = 0; r->requests_n < room;) {
        at_s -= log(1.0 - lcf_rng_f64(&rng)) / p->rate;
        if (at_s >= p->duration_s)
            break;
        r->due_s[r->requests_n] = at_s;
        r->which[r->requests_n++] = (uint32_t)lcf_rng_below(&rng, p->requests_n);
    }
    return LCF_OK;
}

static void wait_for_events(run *r, double next_s, double end_s)
{
    const double now_s = lcf_clock_s() - r->start_s;
    const double until_s = next_s >= 0 && next_s < end_s ? next_s : end_s;
    const double left_s = until_s > now_s ? until_s - now_s : 0;
    const struct timespec timeout = {(time_t)left_s, (long)((left_s - (time_t)left_s) * 1e9)};
    struct epoll_event events[EVENTS];
    const int n = epoll_pwait2(r->c->epoll, events, EVENTS, &timeout, NULL);

    for (int i = 0; i < n; i++) {
        connection *x = events[i].data.ptr;

        if (x->fd >= 0 && x->request != IDLE && events[i].events & EPOLLOUT)
            push(r, x);
        if (x->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive(r, x);
    }
}

/* Whoever waits now will have waited for nothing. */
static void give_up(run *r)
{
    for (size_t i = 0; i < r->c->connections_n; i++)
        if (r->c->connections[i].request != IDLE)
            finish(r, &r->c->connections[i], false);
    for (; r->started < r->requests_n; r->started++)
        if (counts(r, r->started)) {
            r->out->sent++;
            r->out->failed++;
        }
}

lcf_status lcf_load_run(lcf_load_result *out, lcf_load_client *c, const lcf_load_plan *plan,
                        lcf_err *err)
{
    run r = {.c = c, .plan = plan, .out = out};
    const double end_s = plan->duration_s + plan->patience_s;
    lcf_status status = draw(&r, err);

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; !status && i < c->connections_n; i++)
        if (c->connections[i].fd < 0 && !connect_one(c, &c->connections[i]))
            status = LCF_FAIL_ERRNO(err, "cannot connect to %s", c->host);
    r.start_s = lcf_clock_s();
    while (!status && r.done < r.requests_n && lcf_clock_s() - r.start_s < end_s)
        wait_for_events(&r, start_due(&r), end_s);
    if (!status)
        give_up(&r);
    free(r.due_s);
    free(r.which);
    return status;
}
