/*
 * A phase is one word: its number, its tasks and how many of them are taken. A task is claimed by
 * exchanging the word for one with the next task, which succeeds only while the phase is the same.
 *
 * Invariant: `task` and `arg` change only when every task of the last phase is done, so whoever
 * claimed a task has read those that belong to it. A thread that is late finds nothing to claim.
 * No thread stays bound to a processor: whoever binds one, to bring it there, releases it at once.
 */
#include "common/base/team.h"

#include "common/base/mem.h"
#include "common/base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* 50 to 150 us on current processors: longer than the gap between two phases of a network, and than
 * it takes to wake a thread. */
enum { SPINS = 4000, TASK_BITS = 16 };

/* Spins after which a wait is long enough to ask whether a member has lost its processor; spins in
 * which the clock of one that has not goes on. */
enum { LATE_SPINS = 1000, CLOCK_SPINS = 200 };

enum { NOWHERE = -1 };

typedef struct member {
    _Alignas(64) atomic_bool busy; /* may hold a task */
    atomic_int processor;          /* where it works, NOWHERE while it sleeps */
    atomic_int tid;
    _Atomic(clockid_t) clock; /* the processor time of its thread */
    lcf_team *team;
    size_t idx;
    pthread_t thread;
} member;

struct lcf_team {
    size_t threads, started;
    member *members;   /* [threads]: the caller is member 0 */
    cpu_set_t allowed; /* the processors of whoever made the team */
    _Atomic(lcf_team_task) task;
    _Atomic(void *) arg;
    _Alignas(64) _Atomic uint64_t phase; /* number, tasks, taken: 32, 16 and 16 bits */
    _Alignas(64) atomic_size_t done;
    _Alignas(64) pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    atomic_size_t sleepers; /* helpers that wait for `begin` */
    atomic_bool waiting;    /* the caller waits for `end` */
    atomic_bool quit;
    atomic_bool moving; /* somebody looks for a member that is late */
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

static bool has_work(lcf_team *t)
{
    uint64_t phase = atomic_load(&t->phase);

    return taken_of(phase) < tasks_of(phase) || atomic_load(&t->quit);
}

static bool is_done(lcf_team *t)
{
    return atomic_load(&t->done) == tasks_of(atomic_load(&t->phase));
}

/* ---- places ------------------------------------------------------------------------------- */

/*
 * A thread that loses its processor in the middle of a task holds up the team for as long as the
 * other process runs, some milliseconds, in which others of the team have nothing to do. One of
 * them takes its place and gives it its own.
 */

/* 0 where the system does not tell. */
static uint64_t processor_time_ns(const member *m)
{
    struct timespec time = {0, 0};

    clock_gettime(atomic_load(&m->clock), &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Holds a task, and its time stands still. */
static bool is_late(const member *m)
{
    uint64_t before = processor_time_ns(m);

    for (size_t i = 0; i < CLOCK_SPINS; i++) {
        if (!atomic_load(&m->busy))
            return false;
        pause_briefly();
    }
    return before && processor_time_ns(m) == before;
}

/* Has no effect where the system does not let us. */
static void move_to(member *m, int processor)
{
    cpu_set_t only;

    CPU_ZERO(&only);
    CPU_SET((size_t)processor, &only);
    atomic_store(&m->processor, processor);
    if (!sched_setaffinity(atomic_load(&m->tid), sizeof(only), &only))
        sched_setaffinity(atomic_load(&m->tid), sizeof(m->team->allowed), &m->team->allowed);
}

/* Is another member there? */
static bool is_taken(const lcf_team *t, const member *me, int processor)
{
    for (size_t i = 0; i < t->threads; i++)
        if (&t->members[i] != me && atomic_load(&t->members[i].processor) == processor)
            return true;
    return false;
}

/* A helper on the processor of another member goes to one that the team leaves free: the scheduler
 * would leave it there, where all processors have as much to do. */
static void spread(member *me)
{
    lcf_team *t = me->team;
    int here = sched_getcpu();

    if (here < 0 || !is_taken(t, me, here))
        return;
    for (int p = 0; p < CPU_SETSIZE; p++)
        if (CPU_ISSET((size_t)p, &t->allowed) && !is_taken(t, me, p)) {
            move_to(me, p);
            return;
        }
}

/* The caller only lends its place, as it has the next phase to begin; a helper changes places. */
static void give_place(member *me, member *late)
{
    int here = sched_getcpu(), there = atomic_load(&late->processor);

    if (here < 0 || there < 0 || here == there || !CPU_ISSET((size_t)here, &me->team->allowed))
        return;
    move_to(late, here);
    if (me->idx)
        move_to(me, there);
}

/* Whoever waits for the others looks after them; true: it should sleep, its processor is wanted. */
static bool help_late(member *me)
{
    lcf_team *t = me->team;
    bool found = false;

    if (atomic_exchange(&t->moving, true))
        return false;
    for (size_t i = 0; i < t->threads && !found; i++)
        if (i != me->idx && atomic_load(&t->members[i].busy) && is_late(&t->members[i])) {
            give_place(me, &t->members[i]);
            found = true;
        }
    atomic_store(&t->moving, false);
    return found;
}

/* The thread of a member makes itself known. A thread is told from another by its clock, in which
 * is its tid: pthread_self() of one that has ended may be that of the next. */
static void introduce(member *m)
{
    clockid_t clock = CLOCK_THREAD_CPUTIME_ID;

    pthread_getcpuclockid(pthread_self(), &clock);
    if (atomic_exchange(&m->clock, clock) != clock)
        atomic_store(&m->tid, gettid());
}

/* ---- work --------------------------------------------------------------------------------- */

/* Runs tasks of the present phase until none is left to claim. */
static void work(member *me)
{
    lcf_team *t = me->team;
    uint64_t phase = atomic_load(&t->phase);

    atomic_store(&me->processor, sched_getcpu());
    atomic_store(&me->busy, true);
    while (taken_of(phase) < tasks_of(phase)) {
        lcf_team_task task = atomic_load(&t->task);
        void *arg = atomic_load(&t->arg);
        if (!atomic_compare_exchange_weak(&t->phase, &phase, phase + 1))
            continue; /* `phase` is now what it is */
        task(arg, taken_of(phase), me->idx);
        if (atomic_fetch_add(&t->done, 1) + 1 == tasks_of(phase) && atomic_load(&t->waiting)) {
            pthread_mutex_lock(&t->mutex);
            pthread_cond_signal(&t->end);
            pthread_mutex_unlock(&t->mutex);
        }
        phase = atomic_load(&t->phase);
    }
    atomic_store(&me->busy, false);
}

/* False: it took too long, sleep. */
static bool spin_until(bool (*is_ready)(lcf_team *), member *me)
{
    for (size_t i = 1; i <= SPINS; i++) {
        if (is_ready(me->team))
            return true;
        pause_briefly();
        if (i % LATE_SPINS == 0 && !is_done(me->team) && help_late(me))
            return false;
    }
    return false;
}

static void wait_for_work(member *me)
{
    lcf_team *t = me->team;

    if (spin_until(has_work, me))
        return;
    atomic_store(&me->processor, NOWHERE);
    pthread_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->sleepers, 1);
    while (!has_work(t))
        pthread_cond_wait(&t->begin, &t->mutex);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->mutex);
}

static void *member_main(void *arg)
{
    member *m = arg;

    lcf_flush_denormals();
    introduce(m);
    while (!atomic_load(&m->team->quit)) {
        work(m);
        spread(m);
        wait_for_work(m);
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
    sched_getaffinity(0, sizeof(t->allowed), &t->allowed);
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->begin, NULL);
    pthread_cond_init(&t->end, NULL);
    t->members = lcf_alloc_aligned(t->threads, sizeof(*t->members));
    if (!t->members) {
        lcf_team_free(t);
        return LCF_FAIL(err, LCF_ENOMEM, "team of %zu threads", threads);
    }
    for (size_t i = 0; i < t->threads; i++)
        t->members[i] = (member){.team = t, .idx = i, .processor = NOWHERE};
    for (; t->started + 1 < t->threads; t->started++) {
        member *m = &t->members[t->started + 1];
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
        pthread_join(t->members[i + 1].thread, NULL);
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

static void wait_until_done(lcf_team *t)
{
    if (spin_until(is_done, &t->members[0]))
        return;
    pthread_mutex_lock(&t->mutex);
    atomic_store(&t->waiting, true);
    while (!is_done(t))
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
    introduce(&t->members[0]);
    atomic_store(&t->task, task);
    atomic_store(&t->arg, arg);
    atomic_store(&t->done, 0);
    atomic_store(&t->phase, number << 2 * TASK_BITS | (uint64_t)tasks_n << TASK_BITS);
    if (atomic_load(&t->sleepers)) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->begin);
        pthread_mutex_unlock(&t->mutex);
    }
    work(&t->members[0]);
    wait_until_done(t);
}
