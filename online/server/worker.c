/*
 * One worker. What a request needs to be kept in memory is in the job; what an answer needs is in
 * the worker, and its text changes hands by exchange of buffers.
 */
#include "online/server/worker.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "online/server/job.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct lcf_worker {
    lcf_shared *shared;
    lcf_metrics metrics;
    lcf_handler handler;
    _Atomic uint64_t busy_since_ns; /* 0: idle */
    pthread_t thread;
    bool joined;
};

/* Nobody waits for the answer any more: to find it would make the next one late. */
static bool is_late(const lcf_job *job)
{
    return job->q.deadline_s != 0.0 && lcf_clock_s() >= job->q.deadline_s;
}

static void answer(lcf_worker *w, lcf_job *job)
{
    lcf_handler *h = &w->handler;
    lcf_buf out = job->out;

    h->v2 = job->q.v2;
    job->answer = is_late(job)
                      ? lcf_answer_fail(h, 429, "deadline", "it waited too long for a worker")
                      : lcf_handle(h, job->route, &job->q);
    job->out = h->body;
    h->body = out;
    memcpy(job->request_id, h->request_id, sizeof(job->request_id));
}

static void *run(void *arg)
{
    lcf_worker *w = arg;
    uint64_t wakes = 0;
    lcf_job *job;

    lcf_flush_denormals();
    lcf_handler_refresh(&w->handler);
    while (lcf_queue_pop(&job, &w->shared->queue, &wakes)) {
        lcf_handler_refresh(&w->handler); /* also idle: none holds on to an old snapshot */
        if (!job)
            continue;
        atomic_store_explicit(&w->busy_since_ns, lcf_clock_ns(), memory_order_relaxed);
        answer(w, job);
        atomic_store_explicit(&w->busy_since_ns, 0, memory_order_relaxed);
        lcf_queue_push(&w->shared->done, job);
        lcf_shared_wake_front(w->shared);
        (void)sched_yield(); /* where the two share a processor it answers before the next begins */
    }
    return NULL;
}

lcf_status lcf_worker_start(lcf_worker **out, lcf_shared *shared, size_t idx, lcf_err *err)
{
    lcf_worker *w = lcf_alloc_zero(1, sizeof(*w));

    *out = NULL;
    if (!w)
        return LCF_FAIL(err, LCF_ENOMEM, "worker");
    w->shared = shared;
    lcf_handler_init(&w->handler, shared, &w->metrics, idx);
    errno = pthread_create(&w->thread, NULL, run, w);
    if (errno) {
        free(w);
        return LCF_FAIL_ERRNO(err, "cannot start a worker thread");
    }
    *out = w;
    return LCF_OK;
}

lcf_metrics *lcf_worker_metrics(lcf_worker *w)
{
    return &w->metrics;
}

double lcf_worker_busy_s(const lcf_worker *w)
{
    const uint64_t since = atomic_load_explicit(&w->busy_since_ns, memory_order_relaxed);

    return since ? (double)(lcf_clock_ns() - since) / 1e9 : 0.0;
}

void lcf_worker_join(lcf_worker *w)
{
    if (w && !w->joined)
        pthread_join(w->thread, NULL);
    if (w)
        w->joined = true;
}

void lcf_worker_free(lcf_worker *w)
{
    if (!w)
        return;
    lcf_handler_dispose(&w->handler);
    free(w);
}
