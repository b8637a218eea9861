/*
 * Jobs on their way from the front to a worker and back, in order. Private to online/server.
 *
 * A job is one request that ranks. The front owns all jobs and hands out a fixed number of them, so
 * that a queue needs no bound of its own: a request that finds no free job is refused.
 */
#ifndef LCF_ONLINE_SERVER_QUEUE_H
#define LCF_ONLINE_SERVER_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lcf_job;

typedef struct lcf_queue {
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t filled;
    struct lcf_job *first, *last;
    uint64_t wakes;
    bool closed;
} lcf_queue;

void lcf_queue_init(lcf_queue *q);
void lcf_queue_dispose(lcf_queue *q);
void lcf_queue_push(lcf_queue *q, struct lcf_job *job);
/* The first job, or NULL when there is none now. */
struct lcf_job *lcf_queue_try(lcf_queue *q);
/*
 * Waits for a job. *job is NULL where lcf_queue_wake was called since the caller's last look,
 * which *wakes remembers.
 *
 * returns  false when the queue is closed and empty
 */
bool lcf_queue_pop(struct lcf_job **job, lcf_queue *q, uint64_t *wakes);
/* Every waiting thread returns once without a job. */
void lcf_queue_wake(lcf_queue *q);
void lcf_queue_close(lcf_queue *q);

#endif
