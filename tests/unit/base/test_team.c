/*
 * Teams: every task of every phase runs once, in phases of all sizes, also when threads fell asleep
 * between them or others take their processors away; and no thread stays bound to a processor.
 */
#include "common/base/mem.h"
#include "common/base/team.h"
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { TASKS_MAX = 200, THREADS = 3 };

typedef struct tally {
    atomic_uint runs[TASKS_MAX];
    atomic_size_t members;
} tally;

static void count(void *arg, size_t task, size_t member)
{
    tally *t = arg;

    atomic_fetch_add(&t->runs[task], 1);
    if (member >= THREADS)
        atomic_fetch_add(&t->members, 1);
}

static void rest(void)
{
    const struct timespec millisecond = {0, 1000000};

    nanosleep(&millisecond, NULL);
}

static void test_phases(void **state)
{
    enum { PHASES = 3000 };
    lcf_err err = LCF_ERR_INIT;
    lcf_team *team;
    tally t = {.members = 0};
    unsigned wanted[TASKS_MAX] = {0};

    (void)state;
    assert_ok(lcf_team_create(&team, THREADS, &err), &err);
    assert_int_equal(lcf_team_threads(team), THREADS);
    for (size_t phase = 0; phase < PHASES; phase++) {
        size_t n = phase * 37 % (TASKS_MAX + 1);
        lcf_team_run(team, n, count, &t);
        for (size_t i = 0; i < TASKS_MAX; i++) {
            wanted[i] += i < n;
            if (atomic_load(&t.runs[i]) != wanted[i])
                fail_msg("phase %zu: task %zu ran %u times", phase, i, atomic_load(&t.runs[i]));
        }
        if (phase % 100 == 0)
            rest();
    }
    assert_int_equal(atomic_load(&t.members), 0);
    lcf_team_free(team);
    lcf_team_free(NULL);
}

enum { DISTURBERS = 2, DISTURBED_TASKS = 8 };

static atomic_bool disturbing;

static void *disturb(void *arg)
{
    volatile unsigned steps = 0;

    (void)arg;
    while (atomic_load(&disturbing))
        steps++;
    return NULL;
}

typedef struct watch {
    cpu_set_t allowed;
    atomic_size_t bound, runs;
} watch;

static void busy_task(void *arg, size_t task, size_t member)
{
    watch *w = arg;
    volatile unsigned steps = 0;

    (void)task;
    (void)member;
    while (steps < 20000)
        steps++;
    atomic_fetch_add(&w->runs, 1);
}

static void look_at_processors(void *arg, size_t task, size_t member)
{
    watch *w = arg;
    cpu_set_t now;

    (void)task;
    (void)member;
    if (sched_getaffinity(0, sizeof(now), &now) || !CPU_EQUAL(&now, &w->allowed))
        atomic_fetch_add(&w->bound, 1);
}

static void test_disturbed(void **state)
{
    enum { PHASES = 400, LOOKS = 100 };
    pthread_t disturbers[DISTURBERS];
    lcf_err err = LCF_ERR_INIT;
    watch w = {.bound = 0};
    lcf_team *team;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(w.allowed), &w.allowed), 0);
    assert_ok(lcf_team_create(&team, 2, &err), &err);
    atomic_store(&disturbing, true);
    for (size_t i = 0; i < DISTURBERS; i++)
        assert_int_equal(pthread_create(&disturbers[i], NULL, disturb, NULL), 0);
    for (size_t phase = 1; phase <= PHASES; phase++) {
        lcf_team_run(team, DISTURBED_TASKS, busy_task, &w);
        assert_int_equal(atomic_load(&w.runs), phase * DISTURBED_TASKS);
    }
    atomic_store(&disturbing, false);
    for (size_t i = 0; i < DISTURBERS; i++)
        assert_int_equal(pthread_join(disturbers[i], NULL), 0);
    /* One that is being moved is bound for a moment, one that stays bound is so at every look. */
    for (size_t look = 0; look < LOOKS && (!look || atomic_load(&w.bound)); look++) {
        atomic_store(&w.bound, 0);
        for (size_t phase = 0; phase < PHASES; phase++)
            lcf_team_run(team, DISTURBED_TASKS, look_at_processors, &w);
    }
    assert_int_equal(atomic_load(&w.bound), 0);
    lcf_team_free(team);
}

enum { GUEST_PHASES = 50 };

typedef struct guest {
    lcf_team *team;
    watch *watch;
    pthread_t thread;
} guest;

static void *run_as_guest(void *arg)
{
    guest *g = arg;

    for (size_t phase = 0; phase < GUEST_PHASES; phase++)
        lcf_team_run(g->team, DISTURBED_TASKS, busy_task, g->watch);
    return NULL;
}

/* Callers one after the other, each likely to be known to pthreads as the one before, which is
 * gone. */
static void test_guests(void **state)
{
    enum { GUESTS = 4 };
    pthread_t disturber;
    lcf_err err = LCF_ERR_INIT;
    watch w = {.bound = 0};
    guest g = {.watch = &w};

    (void)state;
    assert_ok(lcf_team_create(&g.team, 2, &err), &err);
    atomic_store(&disturbing, true);
    assert_int_equal(pthread_create(&disturber, NULL, disturb, NULL), 0);
    for (size_t i = 1; i <= GUESTS; i++) {
        assert_int_equal(pthread_create(&g.thread, NULL, run_as_guest, &g), 0);
        assert_int_equal(pthread_join(g.thread, NULL), 0);
        assert_int_equal(atomic_load(&w.runs), i * GUEST_PHASES * DISTURBED_TASKS);
    }
    atomic_store(&disturbing, false);
    assert_int_equal(pthread_join(disturber, NULL), 0);
    lcf_team_free(g.team);
}

static void test_alone(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_team *team;
    tally t = {.members = 0};

    (void)state;
    assert_ok(lcf_team_create(&team, 1, &err), &err);
    lcf_team_run(team, 5, count, &t);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(atomic_load(&t.runs[i]), i < 5);
    lcf_team_free(team);
    assert_ok(lcf_team_create(&team, 0, &err), &err);
    assert_true(lcf_team_threads(team) >= 1);
    lcf_team_free(team);
}

static void test_out_of_memory(void **state)
{
    lcf_team *team;
    lcf_status status;

    (void)state;
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_team_create(&team, 2, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(team);
    }
    lcf_team_free(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases),        cmocka_unit_test(test_disturbed),
        cmocka_unit_test(test_guests),        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
