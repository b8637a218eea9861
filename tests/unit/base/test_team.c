/*
 * Teams: every task of every phase runs once, in phases of all sizes, also when threads fell asleep
 * between them.
 */
#include "common/base/mem.h"
#include "common/base/team.h"
#include "tests/unit/test.h"

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
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
