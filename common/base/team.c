/*
 * A phase is one word: its number, its tasks and how many of them are taken. A task is claimed by
 * exchanging the word for one with the next task, which succeeds only while the phase is the same.
 *
 * Invariant: `task` and `arg` change only when every task of the last phase is done, so whoever
 * claimed a task has read those that belong to it. A thread that is late finds nothing to claim.
 */
#include "common/base/team.h"

#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

/* 50 to 150 us on current processors: longer than the gap between two phases of a network, and than
 * it takes to wake a thread. */
enum { SPINS = 4000, TASK_BITS = 16 };

/* Below the few milliseconds after which a scheduler takes a processor away; much above what a
 * phase and a switch of threads take. */
enum { SLICE_NS = 1000000 };

typedef struct member {
    lcf_team *team;
    size_t idx;
    pthread_t thread;
} member;

struct lcf_team {
    size_t threads, started;
    member *members; /* [threads - 1]: the caller is member 0 */
    _Atomic(lcf_team_task) task;
    _Atomic(void *) arg;
    _Alignas(64) _Atomic uint64_t phase; /* number, tasks, taken: 32, 16 and 16 bits */
    _Alignas(64) atomic_size_t done;
    _Alignas(64) pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    atomic_size_t sleepers; /* helpers that wait for `begin` */
    atomic_bool waiting;    /* the caller waits for `end` */
    atomic_bool quit;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static size_t tasks_of(uint64_t phase)
{
    return (size_t)(phase >> TASK_BITS & LCF_TEAM_TASKS_MAX);
}

static size_t taken_of(uint64_t phase)
{
    return (size_t)(phase & LCF_TEAM_TASKS_MAX);
}

/* Runs tasks of the present phase until none is left to claim. */
static void work(lcf_team *t, size_t member_idx)
{
    uint64_t phase = atomic_load(&t->phase);

    while (taken_of(phase) < tasks_of(phase)) {
        lcf_team_task task = atomic_load(&t->task);
        void *arg = atomic_load(&t->arg);
        if (!atomic_compare_exchange_weak(&t->phase, &phase, phase + 1))
            continue; /* `phase` is now what it is */
        task(arg, taken_of(phase), member_idx);
        if (atomic_fetch_add(&t->done, 1) + 1 == tasks_of(phase) && atomic_load(&t->waiting)) {
            pthread_mutex_lock(&t->mutex);
            pthread_cond_signal(&t->end);
            pthread_mutex_unlock(&t->mutex);
        }
        phase = atomic_load(&t->phase);
    }
}

static bool has_work(lcf_team *t)
{
    uint64_t phase = atomic_load(&t->phase);

    return taken_of(phase) < tasks_of(phase) || atomic_load(&t->quit);
}

static void wait_for_work(lcf_team *t)
{
    for (size_t i = 0; i < SPINS; i++) {
        if (has_work(t))
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->sleepers, 1);
    while (!has_work(t))
        pthread_cond_wait(&t->begin, &t->mutex);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->mutex);
}

/*
 * A thread that loses its processor in the middle of a task holds up the team for as long as the
 * other process runs. So it offers its processor when it has none, before its slice of time ends:
 * whoever wants to run does so now, and the others take the tasks meanwhile.
 */
static void give_way(uint64_t *since_ns)
{
    uint64_t now_ns = lcf_clock_ns();

    if (now_ns - *since_ns < SLICE_NS)
        return;
    sched_yield();
    *since_ns = lcf_clock_ns();
}

static void *member_main(void *arg)
{
    member *m = arg;
    uint64_t since_ns = lcf_clock_ns();

    lcf_flush_denormals();
    while (!atomic_load(&m->team->quit)) {
        work(m->team, m->idx);
        give_way(&since_ns);
        wait_for_work(m->team);
    }
    return NULL;
}

lcf_status lcf_team_create(lcf_team **out, size_t threads, lcf_err *err)
{
    lcf_team *t = lcf_alloc_aligned(1, sizeof(*t));

    *out = NULL;
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "team of threads");
    *t = (lcf_team){.threads = threads ? threads : lcf_processors()};
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->begin, NULL);
    pthread_cond_init(&t->end, NULL);
    t->members = lcf_alloc_zero(t->threads, sizeof(*t->members));
    if (!t->members) {
        lcf_team_free(t);
        return LCF_FAIL(err, LCF_ENOMEM, "team of %zu threads", threads);
    }
    for (; t->started + 1 < t->threads; t->started++) {
        member *m = &t->members[t->started];
        *m = (member){.team = t, .idx = t->started + 1};
        if (pthread_create(&m->thread, NULL, member_main, m)) {
            lcf_team_free(t);
            return LCF_FAIL(err, LCF_ENOMEM, "cannot start thread %zu of %zu", m->idx + 1, threads);
        }
    }
    *out = t;
    return LCF_OK;
}

void lcf_team_free(lcf_team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->mutex);
    atomic_store(&t->quit, true);
    pthread_cond_broadcast(&t->begin);
    pthread_mutex_unlock(&t->mutex);
    for (size_t i = 0; i < t->started; i++)
        pthread_join(t->members[i].thread, NULL);
    pthread_cond_destroy(&t->begin);
    pthread_cond_destroy(&t->end);
    pthread_mutex_destroy(&t->mutex);
    free(t->members);
    free(t);
}

size_t lcf_team_threads(const lcf_team *t)
{
    return t->threads;
}

static void wait_until_done(lcf_team *t, size_t tasks_n)
{
    for (size_t i = 0; i < SPINS; i++) {
        if (atomic_load(&t->done) == tasks_n)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&t->mutex);
    atomic_store(&t->waiting, true);
    while (atomic_load(&t->done) != tasks_n)
        pthread_cond_wait(&t->end, &t->mutex);
    atomic_store(&t->waiting, false);
    pthread_mutex_unlock(&t->mutex);
}

void lcf_team_run(lcf_team *t, size_t tasks_n, lcf_team_task task, void *arg)
{
    uint64_t number = (atomic_load(&t->phase) >> 2 * TASK_BITS) + 1;

    lcf_flush_denormals(); /* the caller works too */
    if (tasks_n <= 1 || t->threads == 1) {
        for (size_t i = 0; i < tasks_n; i++)
            task(arg, i, 0);
        return;
    }
    LCF_ASSERT(tasks_n <= LCF_TEAM_TASKS_MAX);
    atomic_store(&t->task, task);
    atomic_store(&t->arg, arg);
    atomic_store(&t->done, 0);
    atomic_store(&t->phase, number << 2 * TASK_BITS | (uint64_t)tasks_n << TASK_BITS);
    if (atomic_load(&t->sleepers)) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->begin);
        pthread_mutex_unlock(&t->mutex);
    }
    work(t, 0);
    wait_until_done(t, tasks_n);
}
