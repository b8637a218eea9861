/* A linked list under a mutex, held for a few pointers. */
#include "online/server/queue.h"

#include "online/server/job.h"

void lcf_queue_init(lcf_queue *q)
{
    *q = (lcf_queue){0};
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->filled, NULL);
}

void lcf_queue_dispose(lcf_queue *q)
{
    pthread_mutex_destroy(&q->mutex);
    pthread_cond_destroy(&q->filled);
}

void lcf_queue_push(lcf_queue *q, lcf_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&q->mutex);
    if (q->last)
        q->last->next = job;
    else
        q->first = job;
    q->last = job;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_signal(&q->filled);
}

static lcf_job *take(lcf_queue *q)
{
    lcf_job *job = q->first;

    if (job)
        q->first = job->next;
    if (!q->first)
        q->last = NULL;
    return job;
}

lcf_job *lcf_queue_try(lcf_queue *q)
{
    lcf_job *job;

    pthread_mutex_lock(&q->mutex);
    job = take(q);
    pthread_mutex_unlock(&q->mutex);
    return job;
}

bool lcf_queue_pop(lcf_job **job, lcf_queue *q, uint64_t *wakes)
{
    bool open;

    pthread_mutex_lock(&q->mutex);
    while (!q->first && !q->closed && *wakes == q->wakes)
        pthread_cond_wait(&q->filled, &q->mutex);
    *wakes = q->wakes;
    *job = take(q);
    open = *job || !q->closed;
    pthread_mutex_unlock(&q->mutex);
    return open;
}

void lcf_queue_wake(lcf_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->wakes++;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_broadcast(&q->filled);
}

void lcf_queue_close(lcf_queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->closed = true;
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_broadcast(&q->filled);
}
