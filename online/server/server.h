/*
 * The ranking server: what the routes in routes.c say, over HTTP/1.1, on a TCP address, a Unix
 * socket, or both.
 *
 * Life cycle: start (opens the snapshot and the sockets, starts the threads) -> reload ... -> stop.
 * One thread, the front, holds all connections and answers what takes no ranking; the workers, each
 * with its ranking context, take requests from one bounded queue. A third kind, the reloader, opens
 * new snapshots. The caller's thread only waits.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#ifndef LCF_ONLINE_SERVER_SERVER_H
#define LCF_ONLINE_SERVER_SERVER_H

#include "common/base/status.h"
#include "online/rank/llmcf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_server_options {
    const char *snapshot;     /* a root, whose `current` is watched, or a generation */
    double watch_s;           /* how often it is looked at; 0: only when asked */
    const char *listen;       /* "127.0.0.1:8080", "[::1]:8080"; port 0 takes a free one; or NULL */
    const char *unix_path;    /* or NULL */
    size_t threads;           /* workers; 0: the processors this process may use */
    size_t body_bytes_max;    /* of a request; more is 413 */
    size_t header_bytes_max;  /* of a request; more is 400 */
    size_t candidates_max;    /* of a request; more is 400 */
    size_t connections_max;   /* open at a time; more wait to be accepted */
    double request_timeout_s; /* first to last byte of a request, and again of its answer */
    double idle_timeout_s;    /* of a connection between requests */
    double linger_s;          /* how long after stop open connections may still send a request */
    double deadline_s;        /* of a request that names none, from its being read; 0: none */
    size_t queue_max;         /* requests that wait for a worker; more are 429 */
    const char *token_file;   /* bearer tokens that everything but health asks for, or NULL */
    const char *user;         /* to become once the sockets are open, or NULL */
    const int *inherited;     /* [inherited_n] listening sockets to answer on as well */
    size_t inherited_n;
    bool example_users;      /* user ids in explanations */
    const char *request_log; /* a file (request_log.h), or NULL */
    double log_share;        /* of the ranking requests that it keeps */
    uint64_t log_bytes_max;  /* of one of its files */
    const char *arms;   /* "llm-cf=90,backbone=10": who asks for no arm (arm_split.h), or NULL */
    const char *shadow; /* "ARM=FILE": scores what is logged, too (shadow.h), or NULL */
} lcf_server_options;

/* The header with which a request says for how long its answer is of use. */
#define LCF_TIMEOUT_HEADER "X-Request-Timeout-Ms"
#define LCF_TIMEOUT_MS_MAX 3600000

#define LCF_SERVER_OPTIONS_INIT                                                               \
    {                                                                                         \
        NULL, 1.0, NULL, NULL, 0, (size_t)1 << 20, (size_t)16 << 10, LCF_RANK_CANDIDATES_MAX, \
            1000, 10.0, 60.0, 1.0, 0.0, 256, NULL, NULL, NULL, 0, false, NULL, 1.0,           \
            (uint64_t)256 << 20, NULL, NULL                                                   \
    }

typedef struct lcf_server lcf_server;

/*
 * errors   those of lcf_rank_open; EINVAL an address that cannot be read, no such user; EFORMAT the
 * file of tokens holds none; EBUSY another server answers on the Unix socket; EIO the address
 * cannot be taken, or the user; ENOMEM
 * threads  SIGTERM, SIGINT and SIGHUP should be blocked before, so that no worker receives them
 */
lcf_status lcf_server_start(lcf_server **out, const lcf_server_options *options, lcf_err *err);
/* Whether all threads have moved within limit_s, and none has been answering one request for
 * longer. For a watchdog: one thread, not more often than every 0.1 s. */
bool lcf_server_alive(lcf_server *s, double limit_s);
/* The port of the TCP socket; 0 without one. */
int lcf_server_port(const lcf_server *s);
/*
 * Asks for a new snapshot to be put in place when `current` has moved, or in any case with force;
 * see reload.h. A ticket for lcf_server_reloaded, which says whether that is over.
 */
uint64_t lcf_server_reload(lcf_server *s, bool force);
bool lcf_server_reloaded(bool *changed, lcf_server *s, uint64_t ticket);
/* Asks and waits: true when another snapshot is in place. */
bool lcf_server_poll(lcf_server *s, bool force);
/*
 * Accepts what has connected and no more, answers every request that was sent within linger_s (and
 * takes at most request_timeout_s longer for it), ends the threads and frees everything. NULL is
 * fine.
 */
void lcf_server_stop(lcf_server *s);

#endif
