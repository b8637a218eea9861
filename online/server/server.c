/* Sockets, workers and the snapshot of a server, from start to stop. */
#include "online/server/server.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "online/server/front.h"
#include "online/server/privileges.h"
#include "online/server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

struct lcf_server {
    lcf_shared shared;
    lcf_front *front;
    lcf_worker **workers; /* [shared.workers_n] */
    lcf_listener listeners[LCF_LISTENERS_MAX];
    size_t listeners_n;
    int port;
    char *unix_path; /* ours to remove */
    uint64_t beats;  /* of the front, when they were last seen to change */
    double beaten_s;
};

static lcf_status listen_on(lcf_server *s, int fd, const struct sockaddr *address,
                            socklen_t address_bytes, const char *name, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot create a socket for %s", name);
    if (bind(fd, address, address_bytes) < 0 || listen(fd, BACKLOG) < 0) {
        status = LCF_FAIL_ERRNO(err, "cannot listen on %s", name);
        close(fd);
        return status;
    }
    s->listeners[s->listeners_n++] = (lcf_listener){.fd = fd};
    return LCF_OK;
}

static int port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        return 0;
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* "host:port" or "[host]:port"; the caller owns *out (freeaddrinfo). */
static lcf_status read_address(struct addrinfo **out, const char *name, lcf_err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(name, ':');
    size_t host_n = colon ? (size_t)(colon - name) : 0;
    bool brackets = host_n > 2 && name[0] == '[' && name[host_n - 1] == ']';
    uint64_t port;
    char host[256];

    *out = NULL;
    if (!colon || host_n == 0 || host_n >= sizeof(host) ||
        !lcf_parse_u64(colon + 1, strlen(colon + 1), &port) || port > 65535)
        return LCF_FAIL(err, LCF_EINVAL,
                        "cannot read the address '%s'; write 127.0.0.1:8080 or [::1]:8080", name);
    snprintf(host, sizeof(host), "%.*s", (int)(brackets ? host_n - 2 : host_n), name + brackets);
    if (getaddrinfo(host, colon + 1, &hints, out) != 0)
        return LCF_FAIL(err, LCF_EINVAL, "there is no address of the name '%s'", host);
    return LCF_OK;
}

static lcf_status listen_tcp(lcf_server *s, const char *name, lcf_err *err)
{
    struct addrinfo *address;
    const int one = 1;
    int fd;
    lcf_status status = read_address(&address, name, err);

    if (status)
        return status;
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    status = listen_on(s, fd, address->ai_addr, address->ai_addrlen, name, err);
    if (!status)
        s->port = port_of(fd);
    freeaddrinfo(address);
    return status;
}

/* A socket file that refuses connections was left by a server that died; any other failure says
 * nothing of the kind. */
static lcf_status remove_stale(const struct sockaddr_un *address, lcf_err *err)
{
    struct stat st;
    int fd;
    bool stale;

    if (lstat(address->sun_path, &st) < 0)
        return LCF_OK;
    if (!S_ISSOCK(st.st_mode))
        return LCF_FAIL(err, LCF_EEXIST, "%s exists and is no socket", address->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot create a socket");
    stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
            errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return LCF_FAIL(err, LCF_EBUSY, "another server may be behind %s", address->sun_path);
    if (unlink(address->sun_path) < 0)
        return LCF_FAIL_ERRNO(err, "cannot remove the stale socket %s", address->sun_path);
    return LCF_OK;
}

static lcf_status listen_unix(lcf_server *s, const char *path, const lcf_user *user, lcf_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    lcf_status status;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return LCF_FAIL(err, LCF_EINVAL, "the socket path %s is longer than %zu bytes", path,
                        sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path));
    status = remove_stale(&address, err);
    if (status)
        return status;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    status = listen_on(s, fd, (struct sockaddr *)&address, sizeof(address), path, err);
    if (status)
        return status;
    s->unix_path = lcf_strdup(path);
    if (!s->unix_path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of the socket");
    if (chmod(path, 0660) < 0 || (user && chown(path, user->uid, user->gid) < 0))
        return LCF_FAIL_ERRNO(err, "cannot give %s its owner and its rights", path);
    return LCF_OK;
}

static lcf_status inherit(lcf_server *s, const int *fds, size_t n, lcf_err *err)
{
    if (n > LCF_LISTENERS_MAX - s->listeners_n)
        return LCF_FAIL(err, LCF_ELIMIT, "%zu sockets were handed over; at most %d are taken", n,
                        LCF_LISTENERS_MAX - 2);
    for (size_t i = 0; i < n; i++) {
        if (fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK) < 0)
            return LCF_FAIL_ERRNO(err, "socket %d that was handed over", fds[i]);
        s->listeners[s->listeners_n++] = (lcf_listener){.fd = fds[i], .inherited = true};
        if (!s->port)
            s->port = port_of(fds[i]);
    }
    return LCF_OK;
}

/* With the rights that were given to us; what comes after needs less. */
static lcf_status open_sockets(lcf_server *s, lcf_err *err)
{
    const lcf_server_options *o = &s->shared.options;
    lcf_user user;
    lcf_status status = o->user ? lcf_user_find(&user, o->user, err) : LCF_OK;

    if (!status && !o->listen && !o->unix_path && !o->inherited_n)
        status = LCF_FAIL(err, LCF_EINVAL, "a server needs an address or a Unix socket");
    if (!status && o->token_file)
        status = lcf_access_open(&s->shared.access, o->token_file, err);
    if (!status && o->listen)
        status = listen_tcp(s, o->listen, err);
    if (!status && o->unix_path)
        status = listen_unix(s, o->unix_path, o->user ? &user : NULL, err);
    if (!status)
        status = inherit(s, o->inherited, o->inherited_n, err);
    if (!status && o->user)
        status = lcf_user_become(&user, err);
    return status;
}

void lcf_shared_wake_front(lcf_shared *shared)
{
    const uint64_t one = 1;

    if (write(shared->front_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        lcf_log(LCF_LOG_ERROR, "the front cannot be woken: %s", strerror(errno));
}

/* The front starts last: from then on there are requests. */
static lcf_status create_threads(lcf_server *s, lcf_err *err)
{
    lcf_shared *shared = &s->shared;
    const size_t n = shared->workers_n;
    lcf_status status;

    s->workers = lcf_alloc_zero(n, sizeof(*s->workers));
    shared->metrics = lcf_alloc_zero(n + 1, sizeof(*shared->metrics));
    if (!s->workers || !shared->metrics)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu workers", n);
    shared->front_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (shared->front_fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot create an event descriptor");
    status = lcf_front_create(&s->front, shared, s->listeners, s->listeners_n, err);
    if (status)
        return status;
    shared->metrics[shared->metrics_n++] = lcf_front_metrics(s->front);
    for (size_t i = 0; !status && i < n; i++) {
        status = lcf_worker_start(&s->workers[i], shared, i, err);
        if (!status)
            shared->metrics[shared->metrics_n++] = lcf_worker_metrics(s->workers[i]);
    }
    return status ? status : lcf_front_start(s->front, err);
}

static void on_new_snapshot(void *arg, const lcf_ranker_snapshot *snapshot)
{
    lcf_shared *shared = arg;

    lcf_queue_wake(&shared->queue); /* an idle worker would keep the old one open */
    lcf_arm_split_check(&shared->split, snapshot);
}

static lcf_status open_snapshot(lcf_server *s, lcf_err *err)
{
    const lcf_reload_options options = {.path = s->shared.options.snapshot,
                                        .contexts_n = s->shared.workers_n +
                                                      (s->shared.options.shadow != NULL),
                                        .watch_s = s->shared.options.watch_s,
                                        .recorder = s->shared.recorder,
                                        .changed = on_new_snapshot,
                                        .arg = &s->shared};

    lcf_generation *first;
    lcf_status status = lcf_reloader_create(&s->shared.reloader, &options, err);

    if (status)
        return status;
    first = lcf_reloader_acquire(s->shared.reloader);
    lcf_arm_split_check(&s->shared.split, first->snapshot);
    lcf_generation_release(first);
    return LCF_OK;
}

/* "ARM=FILE" */
static lcf_status start_shadow(lcf_server *s, lcf_err *err)
{
    const lcf_server_options *o = &s->shared.options;
    const char *equals = strchr(o->shadow, '=');
    char *arm = equals ? lcf_strndup(o->shadow, (size_t)(equals - o->shadow)) : NULL;
    lcf_shadow_options options = {.arm = arm,
                                  .path = equals ? equals + 1 : NULL,
                                  .log_bytes_max = o->log_bytes_max,
                                  .reloader = s->shared.reloader,
                                  .context_idx = s->shared.workers_n};
    lcf_status status;

    if (!equals || !*arm || !*options.path)
        status = LCF_FAIL(err, LCF_EINVAL, "'%s' is no shadow; write ARM=FILE", o->shadow);
    else if (!o->request_log)
        status =
            LCF_FAIL(err, LCF_EINVAL, "a shadow scores what is logged: it needs a request log");
    else
        status = lcf_shadow_start(&s->shared.shadow, &options, err);
    free(arm);
    return status;
}

lcf_status lcf_server_start(lcf_server **out, const lcf_server_options *options, lcf_err *err)
{
    lcf_server *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "server");
    s->shared.options = *options;
    s->shared.workers_n = options->threads ? options->threads : lcf_processors();
    s->shared.front_fd = -1;
    lcf_queue_init(&s->shared.queue);
    lcf_queue_init(&s->shared.done);
    (void)signal(SIGPIPE, SIG_IGN); /* a client that went away is an error of its write */
    status = options->arms ? lcf_arm_split_parse(&s->shared.split, options->arms, err) : LCF_OK;
    if (!status)
        status = open_sockets(s, err);
    if (!status)
        status = lcf_recorder_create(&s->shared.recorder, err);
    if (!status)
        status = open_snapshot(s, err);
    if (!status && options->request_log)
        status = lcf_request_log_open(&s->shared.request_log, options->request_log,
                                      options->log_share, options->log_bytes_max, err);
    if (!status && options->shadow)
        status = start_shadow(s, err);
    if (!status)
        status = create_threads(s, err);
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_server_stop(s);
    return status;
}

bool lcf_server_alive(lcf_server *s, double limit_s)
{
    const uint64_t beats = atomic_load_explicit(&s->shared.front_beats, memory_order_relaxed);
    const double now_s = lcf_clock_s();

    if (beats != s->beats || s->beaten_s == 0.0) {
        s->beats = beats;
        s->beaten_s = now_s;
    }
    for (size_t i = 0; i < s->shared.workers_n; i++)
        if (lcf_worker_busy_s(s->workers[i]) > limit_s)
            return false;
    return now_s - s->beaten_s <= limit_s;
}

int lcf_server_port(const lcf_server *s)
{
    return s->port;
}

uint64_t lcf_server_reload(lcf_server *s, bool force)
{
    return lcf_reloader_ask(s->shared.reloader, force);
}

bool lcf_server_reloaded(bool *changed, lcf_server *s, uint64_t ticket)
{
    return lcf_reloader_looked(changed, s->shared.reloader, ticket);
}

bool lcf_server_poll(lcf_server *s, bool force)
{
    return lcf_reloader_wait(s->shared.reloader, lcf_server_reload(s, force));
}

/* In this order: what was asked is answered before those who answer go. */
static void stop_threads(lcf_server *s)
{
    if (s->unix_path)
        (void)unlink(s->unix_path); /* nobody finds it any more */
    atomic_store(&s->shared.draining, true);
    for (size_t i = 0; i < s->listeners_n; i++)
        close(s->listeners[i].fd); /* the front has its own, and closes them when it has accepted */
    if (s->front) {
        lcf_shared_wake_front(&s->shared);
        lcf_front_join(s->front);
    }
    lcf_queue_close(&s->shared.queue);
    for (size_t i = 0; s->workers && i < s->shared.workers_n; i++) {
        lcf_worker_join(s->workers[i]);
        lcf_worker_free(s->workers[i]);
    }
    lcf_front_free(s->front);
}

void lcf_server_stop(lcf_server *s)
{
    if (!s)
        return;
    stop_threads(s);
    lcf_shadow_stop(s->shared.shadow);
    lcf_reloader_free(s->shared.reloader); /* its thread wakes the queue: that goes last */
    if (s->shared.front_fd >= 0)
        close(s->shared.front_fd);
    lcf_queue_dispose(&s->shared.queue);
    lcf_queue_dispose(&s->shared.done);
    lcf_recorder_free(s->shared.recorder);
    lcf_access_close(s->shared.access);
    lcf_request_log_close(s->shared.request_log);
    free(s->workers);
    free(s->shared.metrics);
    free(s->unix_path);
    free(s);
}
