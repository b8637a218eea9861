/* The thread pool: every task once, the lowest failure wins, reusable. */
#include "tests/unit/test.h"

#include "common/base/pool.h"

#include <stdatomic.h>

typedef struct job {
    _Atomic int counts[1000];
    size_t fail_from;
} job;

static lcf_status count(void *arg, size_t task, size_t worker, lcf_err *err)
{
    job *j = arg;

    (void)worker;
    atomic_fetch_add(&j->counts[task], 1);
    return task >= j->fail_from ? LCF_FAIL(err, LCF_EIO, "task %zu", task) : LCF_OK;
}

static void every_task_runs_once(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;
    static job j;

    (void)state;
    for (size_t threads = 1; threads <= 4; threads++) {
        assert_ok(lcf_pool_create(&pool, threads, &err), &err);
        assert_int_equal(lcf_pool_threads(pool), threads);
        for (int round = 0; round < 20; round++) {
            memset(&j, 0, sizeof(j));
            j.fail_from = 1000;
            assert_ok(lcf_pool_run(pool, 1000, count, &j, &err), &err);
            for (int i = 0; i < 1000; i++)
                assert_int_equal(j.counts[i], 1);
        }
        assert_ok(lcf_pool_run(pool, 0, count, &j, &err), &err);
        lcf_pool_free(pool);
    }
}

static void the_lowest_failure_is_reported(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool;
    static job j;

    (void)state;
    assert_ok(lcf_pool_create(&pool, 3, &err), &err);
    for (int round = 0; round < 50; round++) {
        memset(&j, 0, sizeof(j));
        j.fail_from = 10;
        assert_int_equal(lcf_pool_run(pool, 1000, count, &j, &err), LCF_EIO);
        assert_string_equal(err.text, "task 10");
        assert_int_equal(j.counts[999], 0);
    }
    lcf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(the_lowest_failure_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
