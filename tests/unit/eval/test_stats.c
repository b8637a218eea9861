/*
 * Distributions and tests against SciPy, and by definition in numpy where it has none
 * (tests/golden/make_stats_golden.py).
 */
#include "offline/eval/delong.h"
#include "offline/eval/distributions.h"
#include "offline/eval/paired_tests.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden/stats_golden.h"

#define TOLERANCE 1e-10
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void near(const char *what, double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= TOLERANCE * fmax(1, fabs(want))))
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
}

/* Of p-values the relative error counts. */
static void near_small(const char *what, double x, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fabs(want)))
        fail_msg("%s at %g: %.17g, expected %.17g", what, x, got, want);
}

static void distributions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(GOLDEN_NORMAL); i++)
        near_small("normal", GOLDEN_NORMAL[i][0], lcf_normal_cdf(GOLDEN_NORMAL[i][0]),
                   GOLDEN_NORMAL[i][2]);
    for (size_t i = 0; i < COUNT(GOLDEN_NORMAL_QUANTILE); i++)
        near("normal quantile", lcf_normal_quantile(GOLDEN_NORMAL_QUANTILE[i][0]),
             GOLDEN_NORMAL_QUANTILE[i][2]);
    for (size_t i = 0; i < COUNT(GOLDEN_STUDENT); i++)
        near_small("Student", GOLDEN_STUDENT[i][0],
                   lcf_student_cdf(GOLDEN_STUDENT[i][0], GOLDEN_STUDENT[i][1]),
                   GOLDEN_STUDENT[i][2]);
    for (size_t i = 0; i < COUNT(GOLDEN_STUDENT_QUANTILE); i++)
        near("Student quantile",
             lcf_student_quantile(GOLDEN_STUDENT_QUANTILE[i][0], GOLDEN_STUDENT_QUANTILE[i][1]),
             GOLDEN_STUDENT_QUANTILE[i][2]);
    for (size_t i = 0; i < COUNT(GOLDEN_CHI2); i++)
        near_small("chi-squared", GOLDEN_CHI2[i][0],
                   lcf_chi2_sf(GOLDEN_CHI2[i][0], GOLDEN_CHI2[i][1]), GOLDEN_CHI2[i][2]);
    for (size_t i = 0; i < COUNT(GOLDEN_COIN); i++)
        near_small("coin", GOLDEN_COIN[i][0], lcf_coin_p(GOLDEN_COIN[i][0], GOLDEN_COIN[i][1]),
                   GOLDEN_COIN[i][2]);
}

static void ends_of_distributions(void **state)
{
    (void)state;
    assert_true(lcf_normal_quantile(0) == -INFINITY && lcf_normal_quantile(1) == INFINITY);
    assert_true(isnan(lcf_normal_quantile(1.5)) && isnan(lcf_student_quantile(0, 3)));
    assert_true(isnan(lcf_student_p(NAN, 3)) && isnan(lcf_chi2_sf(NAN, 3)));
    near("infinite t", lcf_student_p(INFINITY, 3), 0);
    near("chi-squared at 0", lcf_chi2_sf(0, 3), 1);
    near("no tosses", lcf_coin_p(0, 0), 1);
}

static void golden_delong(void **state)
{
    const float *arms[] = {GOLDEN_ARM_A, GOLDEN_ARM_B};
    const double *want[] = {GOLDEN_DELONG_A, GOLDEN_DELONG_B};
    double placements[2][GOLDEN_ARMS_N] = {{0}, {0}};
    uint64_t order[2 * GOLDEN_ARMS_N];
    lcf_delong d;

    (void)state;
    for (size_t a = 0; a < 2; a++) {
        lcf_score_order(order, arms[a], GOLDEN_ARMS_N, order + GOLDEN_ARMS_N);
        lcf_placements_add(placements[a], order, GOLDEN_ARM_LABELS, GOLDEN_ARMS_N, 1);
        assert_int_equal(lcf_delong_compute(&d, placements[a], GOLDEN_ARM_LABELS,
                                            GOLDEN_ARM_USERS_OF, GOLDEN_ARMS_N, GOLDEN_ARMS_USERS,
                                            NULL),
                         LCF_OK);
        near("AUC", d.auc, want[a][0]);
        near("se by rows", d.se_rows, want[a][1]);
        near("se by users", d.se_users, want[a][2]);
    }
    for (size_t i = 0; i < GOLDEN_ARMS_N; i++)
        placements[1][i] -= placements[0][i];
    assert_int_equal(lcf_delong_compute(&d, placements[1], GOLDEN_ARM_LABELS, GOLDEN_ARM_USERS_OF,
                                        GOLDEN_ARMS_N, GOLDEN_ARMS_USERS, NULL),
                     LCF_OK);
    near("lift", d.auc, GOLDEN_DELONG_LIFT[0]);
    near("se of the lift by rows", d.se_rows, GOLDEN_DELONG_LIFT[1]);
    near("se of the lift by users", d.se_users, GOLDEN_DELONG_LIFT[2]);
}

static void golden_mcnemar(void **state)
{
    double sums[GOLDEN_ARMS_USERS] = {0};
    lcf_mcnemar m = {0};

    (void)state;
    lcf_mcnemar_add(&m, sums, GOLDEN_ARM_A, GOLDEN_ARM_B, GOLDEN_ARM_LABELS, GOLDEN_ARM_USERS_OF,
                    GOLDEN_ARMS_N, 0.5f);
    lcf_mcnemar_finish(&m, sums, GOLDEN_ARMS_USERS);
    near("only A", m.only_a, GOLDEN_MCNEMAR[0]);
    near("only B", m.only_b, GOLDEN_MCNEMAR[1]);
    near("exact p", m.p_rows, GOLDEN_MCNEMAR[2]);
    near("z", m.z_users, GOLDEN_MCNEMAR[3]);
    near("p by users", m.p_users, GOLDEN_MCNEMAR[4]);
}

static void golden_t_and_power(void **state)
{
    const double equal[] = {1, 1, 1};
    lcf_t_test t = lcf_paired_t(GOLDEN_DIFFERENCES, COUNT(GOLDEN_DIFFERENCES), 0.95);

    (void)state;
    near("t", t.t, GOLDEN_T[0]);
    near("p", t.p, GOLDEN_T[1]);
    near("low", t.low, GOLDEN_T[2]);
    near("high", t.high, GOLDEN_T[3]);
    assert_true(isnan(lcf_paired_t(equal, 3, 0.95).p) && isnan(lcf_paired_t(equal, 1, 0.95).p));
    near("detectable", lcf_detectable(0.01, 0.95, 0.8),
         0.01 * (1.959963984540054 + 0.8416212335729143));
    /* what 100 users find is detectable; half of it takes four times as many */
    near("users", lcf_users_needed(-0.5 * lcf_detectable(0.01, 0.95, 0.8), 0.01, 100, 0.95, 0.8),
         400);
    assert_true(isnan(lcf_users_needed(0, 0.01, 100, 0.95, 0.8)));
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void golden_bca(void **state)
{
    double sorted[COUNT(GOLDEN_SKEWED) + 1];
    size_t n = COUNT(GOLDEN_SKEWED), m = COUNT(GOLDEN_LEFT_OUT);
    lcf_interval i;

    (void)state;
    memcpy(sorted, GOLDEN_SKEWED, sizeof(GOLDEN_SKEWED));
    qsort(sorted, n, sizeof(*sorted), compare_f64);
    sorted[n] = NAN;
    i = lcf_stats_bca(sorted, n + 1, 0.6, GOLDEN_LEFT_OUT, m, 0.95);
    near("low", i.low, GOLDEN_BCA[0]);
    near("high", i.high, GOLDEN_BCA[1]);
    assert_int_equal(i.undefined_n, 1);
    i = lcf_stats_bca(sorted, n, 1e9, GOLDEN_LEFT_OUT, m,
                      0.95); /* the estimate is above them all */
    assert_true(isnan(i.low) && isnan(i.high));
    i = lcf_stats_bca(sorted, 0, 0.6, GOLDEN_LEFT_OUT, m, 0.95);
    assert_true(isnan(i.low));
}

static void golden_benjamini_hochberg(void **state)
{
    const double with_nan[] = {NAN, 0.01, 0.02, NAN};
    double adjusted[COUNT(GOLDEN_P)];

    (void)state;
    lcf_stats_benjamini_hochberg(adjusted, GOLDEN_P, COUNT(GOLDEN_P));
    for (size_t i = 0; i < COUNT(GOLDEN_P); i++)
        near("Benjamini-Hochberg", adjusted[i], GOLDEN_BH[i]);
    lcf_stats_benjamini_hochberg(adjusted, with_nan, 4);
    assert_true(isnan(adjusted[0]) && isnan(adjusted[3]));
    near("first", adjusted[1], 0.02);
    near("second", adjusted[2], 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions),
        cmocka_unit_test(ends_of_distributions),
        cmocka_unit_test(golden_delong),
        cmocka_unit_test(golden_mcnemar),
        cmocka_unit_test(golden_t_and_power),
        cmocka_unit_test(golden_bca),
        cmocka_unit_test(golden_benjamini_hochberg),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
