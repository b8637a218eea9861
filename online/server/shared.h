/* What the threads of a server share; outlives them. Private to online/server. */
#ifndef LCF_ONLINE_SERVER_SHARED_H
#define LCF_ONLINE_SERVER_SHARED_H

#include "online/server/access.h"
#include "online/server/arm_split.h"
#include "online/server/metrics.h"
#include "online/server/queue.h"
#include "online/server/reload.h"
#include "online/server/request_log.h"
#include "online/server/server.h"
#include "online/server/shadow.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct lcf_shared {
    lcf_server_options options;
    lcf_reloader *reloader;
    lcf_recorder *recorder;
    lcf_access *access;           /* NULL: everybody may */
    lcf_request_log *request_log; /* NULL: none is kept */
    lcf_arm_split split;          /* of users between arms */
    lcf_shadow *shadow;           /* NULL: there is none */
    size_t workers_n;
    lcf_metrics **metrics; /* [metrics_n] one block per thread that answers */
    size_t metrics_n;
    lcf_queue queue;              /* of jobs that wait for a worker */
    lcf_queue done;               /* of jobs that wait for the front */
    int front_fd;                 /* an eventfd: the front should look at `done` and `draining` */
    _Atomic uint64_t front_beats; /* counts while the front is alive */
    _Atomic bool draining;
} lcf_shared;

/* Any thread. */
void lcf_shared_wake_front(lcf_shared *shared);

#endif
