/*
 * The shadow's queue and thread.
 *
 * Invariant: slots [taken, filled) of the ring, modulo its size, are filled. Those who fill wait
 * for each other at most; the thread alone takes, exchanges the buffer of the first against its own
 * before it works, and holds no lock that anybody who answers might need, but once for each new
 * snapshot: it may be stopped anywhere for as long as others want the processor.
 */
#include "online/server/shadow.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "online/rank/wire.h"
#include "online/rank/wire_binary.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_S 1 /* between looks for a new snapshot while nothing is offered */

typedef struct shadow_request {
    char id[LCF_REQUEST_ID_BYTES];
    lcf_buf body;
    bool binary;
} shadow_request;

struct lcf_shadow {
    lcf_shadow_options options;
    char *arm;
    lcf_request_log *log;
    pthread_t thread;
    bool started;
    pthread_mutex_t offering; /* of those who fill */
    sem_t offers;             /* filled slots, and one more at the end */
    shadow_request ring[LCF_SHADOW_QUEUE];
    _Atomic uint64_t filled, taken; /* slots since the start */
    _Atomic uint64_t done, dropped, failed;
    _Atomic bool stop;
};

/* ---- the thread ---- */

static lcf_status rank_and_log(lcf_shadow *s, const lcf_generation *g, const shadow_request *q,
                               lcf_wire_request *wire, lcf_buf *line)
{
    lcf_rank_response response;
    lcf_status status = q->binary ? lcf_wire_parse_binary(wire, q->body.data, q->body.len,
                                                          LCF_RANK_CANDIDATES_MAX, NULL)
                                  : lcf_wire_parse(wire, q->body.data, q->body.len, "shadow",
                                                   LCF_RANK_CANDIDATES_MAX, NULL);

    wire->request.arm = s->arm;
    wire->request.k = 0; /* those of the other arm may be more than this one reads */
    wire->request.top = 0;
    wire->request.explain = false;
    if (!status)
        status = lcf_rank(&response, g->contexts[s->options.context_idx], &wire->request, NULL);
    if (!status)
        lcf_request_log_write(s->log, line, q->id, &wire->request, &response, 1.0);
    return status;
}

static bool wait_for_offer(lcf_shadow *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_S;
    return !sem_clockwait(&s->offers, CLOCK_MONOTONIC, &until);
}

/* The next request into *q, and into *g the generation in place; false at the end. An old one is
 * let go of soon, however long nothing comes. */
static bool take(lcf_shadow *s, shadow_request *q, lcf_generation **g)
{
    const uint64_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);
    const shadow_request spare = *q;
    shadow_request *first = &s->ring[taken % LCF_SHADOW_QUEUE];

    for (bool offered = false; !offered;) {
        offered = wait_for_offer(s);
        *g = lcf_reloader_renew(s->options.reloader, *g);
    }
    if (atomic_load(&s->stop))
        return false;
    LCF_ASSERT(taken < atomic_load_explicit(&s->filled, memory_order_acquire));
    *q = *first;
    *first = spare;
    atomic_store_explicit(&s->taken, taken + 1, memory_order_release);
    return true;
}

static void *run(void *arg)
{
    const struct sched_param idle = {0};
    lcf_shadow *s = arg;
    shadow_request q = {.body = LCF_BUF_INIT};
    lcf_buf line = LCF_BUF_INIT;
    lcf_generation *g = NULL;
    lcf_wire_request wire;

    lcf_flush_denormals();
    (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &idle); /* runs when nobody else does */
    lcf_wire_init(&wire);
    while (take(s, &q, &g)) {
        const lcf_status status = rank_and_log(s, g, &q, &wire, &line);

        atomic_fetch_add_explicit(status ? &s->failed : &s->done, 1, memory_order_relaxed);
    }
    lcf_generation_release(g);
    lcf_wire_dispose(&wire);
    lcf_buf_dispose(&line);
    lcf_buf_dispose(&q.body);
    return NULL;
}

/* ---- life ---- */

static lcf_status check_arm(const lcf_shadow_options *options, lcf_err *err)
{
    lcf_generation *g = lcf_reloader_acquire(options->reloader);
    lcf_rank_info info;
    bool known = false;

    lcf_rank_info_of(&info, g->snapshot);
    for (size_t i = 0; i < info.arms_n; i++)
        known |= !strcmp(info.arms[i], options->arm);
    lcf_generation_release(g);
    return known ? LCF_OK
                 : LCF_FAIL(err, LCF_EINVAL, "the snapshot has no arm \"%s\" for the shadow",
                            options->arm);
}

lcf_status lcf_shadow_start(lcf_shadow **out, const lcf_shadow_options *options, lcf_err *err)
{
    lcf_shadow *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "shadow");
    s->options = *options;
    pthread_mutex_init(&s->offering, NULL);
    sem_init(&s->offers, 0, 0);
    s->arm = lcf_strdup(options->arm);
    status = s->arm ? check_arm(options, err) : LCF_FAIL(err, LCF_ENOMEM, "shadow");
    if (!status)
        status = lcf_request_log_open(&s->log, options->path, 1.0, options->log_bytes_max, err);
    if (!status) {
        errno = pthread_create(&s->thread, NULL, run, s);
        s->started = !errno;
        if (errno)
            status = LCF_FAIL_ERRNO(err, "cannot start the shadow's thread");
    }
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_shadow_stop(s);
    return status;
}

void lcf_shadow_stop(lcf_shadow *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    sem_post(&s->offers);
    if (s->started)
        pthread_join(s->thread, NULL);
    for (size_t i = 0; i < LCF_SHADOW_QUEUE; i++)
        lcf_buf_dispose(&s->ring[i].body);
    lcf_request_log_close(s->log);
    pthread_mutex_destroy(&s->offering);
    sem_destroy(&s->offers);
    free(s->arm);
    free(s);
}

/* ---- for others ---- */

/* With the lock; false where there is no room, or no memory. */
static bool fill(lcf_shadow *s, const char *request_id, const char *body, size_t n, bool binary)
{
    const uint64_t filled = atomic_load_explicit(&s->filled, memory_order_relaxed);
    shadow_request *to = &s->ring[filled % LCF_SHADOW_QUEUE];

    if (filled - atomic_load_explicit(&s->taken, memory_order_acquire) == LCF_SHADOW_QUEUE)
        return false;
    memcpy(to->id, request_id, strlen(request_id) + 1);
    to->binary = binary;
    lcf_buf_reset(&to->body);
    lcf_buf_append(&to->body, body, n);
    if (to->body.status) {
        lcf_buf_dispose(&to->body);
        return false;
    }
    atomic_store_explicit(&s->filled, filled + 1, memory_order_release);
    return true;
}

void lcf_shadow_offer(lcf_shadow *s, const char *request_id, const char *body, size_t n,
                      bool binary)
{
    bool filled;

    pthread_mutex_lock(&s->offering);
    filled = fill(s, request_id, body, n, binary);
    pthread_mutex_unlock(&s->offering);
    if (filled)
        sem_post(&s->offers);
    else
        atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
}

void lcf_shadow_counts_of(lcf_shadow_counts *out, const lcf_shadow *s)
{
    *out = (lcf_shadow_counts){.done = atomic_load_explicit(&s->done, memory_order_relaxed),
                               .dropped = atomic_load_explicit(&s->dropped, memory_order_relaxed),
                               .failed = atomic_load_explicit(&s->failed, memory_order_relaxed)};
}
