/*
 * A worker: one thread with its event loop, connections, ranking context and counters. Private to
 * online/server.
 */
#ifndef LCF_ONLINE_SERVER_WORKER_H
#define LCF_ONLINE_SERVER_WORKER_H

#include "online/server/metrics.h"
#include "online/server/reload.h"
#include "online/server/request_log.h"
#include "online/server/server.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What all workers share; outlives them. */
typedef struct lcf_shared {
    lcf_server_options options;
    lcf_reloader *reloader;
    lcf_metrics **metrics;        /* [workers_n] */
    lcf_request_log *request_log; /* NULL: none is kept */
    size_t workers_n;
    _Atomic bool draining;
} lcf_shared;

typedef struct lcf_worker lcf_worker;

/* Takes duplicates of the listening sockets. errors: ENOMEM, EIO */
lcf_status lcf_worker_create(lcf_worker **out, lcf_shared *shared, const int *listen_fds,
                             size_t listen_n, lcf_err *err);
void lcf_worker_free(lcf_worker *w); /* after join; NULL is fine */
lcf_metrics *lcf_worker_metrics(lcf_worker *w);
lcf_status lcf_worker_start(lcf_worker *w, lcf_err *err);
/* Makes the loop look at shared->draining and at the snapshot in place. Any thread. */
void lcf_worker_wake(lcf_worker *w);
void lcf_worker_join(lcf_worker *w);

#endif
