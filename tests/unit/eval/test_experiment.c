/*
 * Experiments: Welch, CUPED and monitoring against SciPy and numpy, error rates under continuous
 * monitoring, and logs that cannot be read.
 */
#include "common/base/file.h"
#include "common/base/rng.h"
#include "offline/eval/experiment/experiment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden/experiment_golden.h"

#define N (sizeof(GOLDEN_OUTCOME) / sizeof(double))

static const char *const ARMS[2] = {"a", "b"};

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
}

static void welch_and_cuped(void **state)
{
    double scratch[N];
    lcf_two_sample t = lcf_two_sample_compute(GOLDEN_OUTCOME, GOLDEN_ARM_OF, N, 0.95);
    lcf_cuped c = lcf_cuped_compute(scratch, GOLDEN_OUTCOME, GOLDEN_BEFORE, GOLDEN_ARM_OF, N, 0.95);

    (void)state;
    near("lift", t.lift, GOLDEN_WELCH[0]);
    near("p", t.p, GOLDEN_WELCH[1]);
    near("low", t.low, GOLDEN_WELCH[2]);
    near("high", t.high, GOLDEN_WELCH[3]);
    near("theta", c.theta, GOLDEN_CUPED[0]);
    near("explained", c.explained, GOLDEN_CUPED[1]);
    near("adjusted lift", c.adjusted.lift, GOLDEN_CUPED[2]);
    near("adjusted p", c.adjusted.p, GOLDEN_CUPED[3]);
    near("adjusted low", c.adjusted.low, GOLDEN_CUPED[4]);
    near("adjusted high", c.adjusted.high, GOLDEN_CUPED[5]);
    near("relative", t.relative, t.mean[1] / t.mean[0] - 1);
    assert_true(t.relative_low < t.relative && t.relative < t.relative_high);
}

static void a_constant_before_changes_nothing(void **state)
{
    double scratch[N], constant[N];
    lcf_cuped c;

    (void)state;
    for (size_t i = 0; i < N; i++)
        constant[i] = 3;
    c = lcf_cuped_compute(scratch, GOLDEN_OUTCOME, constant, GOLDEN_ARM_OF, N, 0.95);
    assert_true(c.theta == 0 && c.explained == 0);
    near("lift", c.adjusted.lift, GOLDEN_WELCH[0]);
}

static void split_and_monitoring(void **state)
{
    lcf_sequential s;

    (void)state;
    near("split", lcf_ratio_mismatch_p(450, 560, 0.4) / GOLDEN_SPLIT, 1);
    near("a planned split", lcf_ratio_mismatch_p(600, 400, 0.4), 1);
    lcf_sequential_init(&s, 0.5, 500, 0.95);
    for (size_t i = 0; i < N; i++) {
        assert_true(isnan(s.low) == (i < LCF_SEQUENTIAL_FIRST));
        lcf_sequential_add(&s, GOLDEN_OUTCOME[i], GOLDEN_ARM_OF[i]);
    }
    near("sequential lift", s.lift, GOLDEN_SEQUENTIAL[0]);
    near("sequential low", s.low, GOLDEN_SEQUENTIAL[1]);
    near("sequential high", s.high, GOLDEN_SEQUENTIAL[2]);
    near("sequential p", s.p, GOLDEN_SEQUENTIAL[3]);
}

/* Outcome 0 or 1 with the chance of the arm. How often is 0 left out at any of `users` looks? */
static void watch(size_t *intervals, size_t *ps, double effect, size_t experiments, size_t users)
{
    *intervals = *ps = 0;
    for (size_t k = 0; k < experiments; k++) {
        lcf_sequential s;
        lcf_rng rng;
        size_t left_out = 0;
        lcf_rng_seed(&rng, 42, k);
        lcf_sequential_init(&s, 0.5, (double)users / 2, 0.95);
        for (size_t i = 0; i < users; i++) {
            uint8_t arm = lcf_rng_below(&rng, 2) == 1;
            lcf_sequential_add(&s, lcf_rng_f64(&rng) < 0.3 + (arm ? effect : 0), arm);
            left_out += s.low > 0 || s.high < 0;
        }
        *intervals += left_out > 0;
        *ps += s.p < 0.05;
    }
}

static void looking_all_the_time_is_allowed(void **state)
{
    size_t intervals, ps;

    (void)state;
    watch(&intervals, &ps, 0, 400, 1500); /* no effect: at most 20 expected of 400, SD 4.4 */
    assert_in_range(intervals, 0, 28);
    assert_in_range(ps, 0, 28);
    watch(&intervals, &ps, 0.15, 60, 1500); /* a large effect is found */
    assert_in_range(intervals, 54, 60);
    assert_in_range(ps, 54, 60);
}

static lcf_experiment_log log_of(const uint8_t *arms)
{
    lcf_experiment_log log = {N, (uint8_t *)(uintptr_t)arms, (double *)(uintptr_t)GOLDEN_OUTCOME,
                              (double *)(uintptr_t)GOLDEN_BEFORE};

    return log;
}

static void an_experiment_is_judged(void **state)
{
    uint8_t odd[N];
    lcf_experiment_log log = log_of(GOLDEN_ARM_OF);
    lcf_experiment e;
    lcf_gate_condition condition;
    lcf_figures f;

    (void)state;
    assert_int_equal(lcf_experiment_analyse(&e, &log, 0.5, 0, NULL), LCF_OK);
    near("the lift is CUPED's", e.cuped.adjusted.lift, GOLDEN_CUPED[2]);
    assert_string_equal(lcf_experiment_verdict(&e, NULL, 0), "ship");
    lcf_experiment_figures(&f, &e);
    assert_int_equal(lcf_gate_parse(&condition, "lift_low > 100", &f, NULL), LCF_OK);
    lcf_gate_check(&condition, 1, &f);
    assert_string_equal(lcf_experiment_verdict(&e, &condition, 1), "hold");
    assert_string_equal(lcf_experiment_verdict(&e, NULL, 0), "ship");
    assert_int_equal(e.looks_n, 75);
    assert_int_equal(e.looks[74].n, N);
    assert_int_equal(lcf_experiment_analyse(&e, &log, 0.9, 0, NULL), LCF_OK);
    assert_string_equal(lcf_experiment_verdict(&e, NULL, 0), "hold"); /* not the planned split */
    memset(odd, 0, sizeof(odd));
    log = log_of(odd);
    assert_int_equal(lcf_experiment_analyse(&e, &log, 0.5, 0, NULL), LCF_EFORMAT);
}

/* Named by its end alone. */
static void tabs_are_known_by_the_name(void **state)
{
    static const char text[] = "user\tarm\toutcome\nx\ta\t1\ny\tb\t2\n";
    lcf_experiment_log log;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_file_write("log.tsv.day1.tsv", text, strlen(text), NULL), LCF_OK);
    if (lcf_experiment_log_read(&log, "log.tsv.day1.tsv", ARMS, &err))
        fail_msg("%s", err.text);
    assert_int_equal(log.n, 2);
    lcf_experiment_log_dispose(&log);
}

static void expect_refused(const char *text, const char *what)
{
    lcf_experiment_log log;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_file_write("log.csv", text, strlen(text), NULL), LCF_OK);
    if (!lcf_experiment_log_read(&log, "log.csv", ARMS, &err))
        fail_msg("taken, where '%s' was expected", what);
    if (!strstr(err.text, what))
        fail_msg("'%s' does not say '%s'", err.text, what);
    lcf_experiment_log_dispose(&log);
}

static void logs_are_checked(void **state)
{
    static const char good[] = "before,outcome,arm,user\n1,2,a,x\n3,-4.5,b,\"y,z\"\n";
    lcf_experiment_log log;

    (void)state;
    expect_refused("", "no column 'user'");
    expect_refused("user,arm\n", "no column 'outcome'");
    expect_refused("user,arm,outcome,arm\n", "two columns 'arm'");
    expect_refused("user,arm,outcome\nx,a,1\nx,b,1\n", "log.csv:3: user 'x' was there before");
    expect_refused("user,arm,outcome\n,a,1\n", "log.csv:2: user '' has no name");
    expect_refused("user,arm,outcome\nx,c,1\n", "the arm 'c' is neither 'a' nor 'b'");
    expect_refused("user,arm,outcome\nx,a,one\n", "the outcome 'one' is not a number");
    expect_refused("user,arm,outcome\nx,a\n", "log.csv:2: 2 fields, the header has 3");
    assert_int_equal(lcf_file_write("log.csv", good, strlen(good), NULL), LCF_OK);
    assert_int_equal(lcf_experiment_log_read(&log, "log.csv", ARMS, NULL), LCF_OK);
    assert_int_equal(log.n, 2);
    assert_int_equal(log.arm[1], 1);
    assert_true(log.outcome[1] == -4.5 && log.before[1] == 3);
    lcf_experiment_log_dispose(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tabs_are_known_by_the_name),
        cmocka_unit_test(welch_and_cuped),
        cmocka_unit_test(a_constant_before_changes_nothing),
        cmocka_unit_test(split_and_monitoring),
        cmocka_unit_test(looking_all_the_time_is_allowed),
        cmocka_unit_test(an_experiment_is_judged),
        cmocka_unit_test(logs_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
