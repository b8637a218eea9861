/*
 * A pool of threads that waits for jobs. A job is a counter of tasks; workers take the next index
 * until none is left or one failed. Invariant: `job_id` grows by one per run; a worker takes part
 * in each run once.
 *
 * Who waits looks again for some microseconds before it sleeps: the runs of a training step follow
 * each other closely, and waking a thread takes longer than most of what lies between them. The
 * time is bounded, so that a machine with other work loses no more than that.
 */
#include "common/base/pool.h"

#include "common/base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LOOKS 1000 /* before sleeping: some tens of microseconds */

typedef struct worker {
    lcf_pool *pool;
    size_t idx;
    pthread_t thread;
} worker;

struct lcf_pool {
    size_t threads, started;
    worker *workers; /* [threads - 1]: the caller is worker 0 */
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    uint64_t job_id; /* written under the mutex, looked at without it */
    size_t busy;     /* likewise */
    bool quit;
    /* the job, guarded by mutex */
    lcf_task task;
    void *arg;
    size_t tasks_n, next;
    size_t failed_task; /* lowest so far, tasks_n when none */
    lcf_err failure;
};

void lcf_flush_denormals(void)
{
#if defined(__x86_64__)
    _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
    _mm_setcsr(_mm_getcsr() | 0x0040); /* denormals are zero */
#endif
}

static bool take_task(lcf_pool *pool, size_t *task)
{
    bool any;

    pthread_mutex_lock(&pool->mutex);
    any = pool->failed_task == pool->tasks_n && pool->next < pool->tasks_n;
    if (any)
        *task = pool->next++;
    pthread_mutex_unlock(&pool->mutex);
    return any;
}

static void note_failure(lcf_pool *pool, size_t task, lcf_status status, const lcf_err *err)
{
    pthread_mutex_lock(&pool->mutex);
    if (task < pool->failed_task) {
        pool->failed_task = task;
        pool->failure = *err;
        pool->failure.status = status;
    }
    pthread_mutex_unlock(&pool->mutex);
}

static void run_tasks(lcf_pool *pool, size_t worker_idx)
{
    size_t task;

    while (take_task(pool, &task)) {
        lcf_err err = LCF_ERR_INIT;
        lcf_status status = pool->task(pool->arg, task, worker_idx, &err);
        if (status)
            note_failure(pool, task, status, &err);
    }
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

static void look_for_job(const lcf_pool *pool, uint64_t seen)
{
    for (size_t i = 0; i < LOOKS && __atomic_load_n(&pool->job_id, __ATOMIC_RELAXED) == seen; i++)
        pause_briefly();
}

static void look_for_end(const lcf_pool *pool)
{
    for (size_t i = 0; i < LOOKS && __atomic_load_n(&pool->busy, __ATOMIC_RELAXED); i++)
        pause_briefly();
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    lcf_pool *pool = w->pool;
    uint64_t seen = 0;

    lcf_flush_denormals();
    for (;;) {
        look_for_job(pool, seen);
        pthread_mutex_lock(&pool->mutex);
        while (!pool->quit && pool->job_id == seen)
            pthread_cond_wait(&pool->begin, &pool->mutex);
        if (pool->quit)
            break;
        seen = pool->job_id;
        pthread_mutex_unlock(&pool->mutex);
        run_tasks(pool, w->idx);
        pthread_mutex_lock(&pool->mutex);
        if (__atomic_sub_fetch(&pool->busy, 1, __ATOMIC_RELAXED) == 0)
            pthread_cond_signal(&pool->end);
        pthread_mutex_unlock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

size_t lcf_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

lcf_status lcf_pool_create(lcf_pool **out, size_t threads, lcf_err *err)
{
    lcf_pool *pool = lcf_alloc_zero(1, sizeof(*pool));

    *out = NULL;
    if (!pool)
        return LCF_FAIL(err, LCF_ENOMEM, "thread pool");
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
    pool->threads = threads ? threads : lcf_processors();
    pool->workers = lcf_alloc_zero(pool->threads, sizeof(*pool->workers));
    if (!pool->workers) {
        lcf_pool_free(pool);
        return LCF_FAIL(err, LCF_ENOMEM, "thread pool");
    }
    for (; pool->started + 1 < pool->threads; pool->started++) {
        worker *w = &pool->workers[pool->started];
        w->pool = pool;
        w->idx = pool->started + 1;
        if (pthread_create(&w->thread, NULL, worker_main, w)) {
            lcf_pool_free(pool);
            return LCF_FAIL(err, LCF_ENOMEM, "cannot start thread %zu of %zu", w->idx + 1, threads);
        }
    }
    *out = pool;
    return LCF_OK;
}

void lcf_pool_free(lcf_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->quit = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

size_t lcf_pool_threads(const lcf_pool *pool)
{
    return pool->threads;
}

lcf_status lcf_pool_run(lcf_pool *pool, size_t tasks_n, lcf_task task, void *arg, lcf_err *err)
{
    lcf_flush_denormals(); /* the caller works too */
    pthread_mutex_lock(&pool->mutex);
    pool->task = task;
    pool->arg = arg;
    pool->tasks_n = tasks_n;
    pool->next = 0;
    pool->failed_task = tasks_n;
    pool->busy = pool->started;
    __atomic_add_fetch(&pool->job_id, 1, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->mutex);
    run_tasks(pool, 0);
    look_for_end(pool);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy)
        pthread_cond_wait(&pool->end, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    if (pool->failed_task == tasks_n)
        return LCF_OK;
    if (err)
        *err = pool->failure;
    return pool->failure.status;
}
