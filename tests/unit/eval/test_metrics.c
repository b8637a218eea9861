/*
 * Measures against scikit-learn and numpy (tests/golden/make_metrics_golden.py), ties and weights
 * included, and against cases worked by hand.
 */
#include "common/base/mem.h"
#include "offline/eval/auc.h"
#include "offline/eval/calibration_fit.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/normalised_entropy.h"
#include "offline/eval/rela_impr.h"
#include "offline/eval/roc.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stats.h"
#include "offline/eval/user_auc.h"
#include "tests/unit/eval/definitions.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOLERANCE 1e-9

typedef struct golden_case {
    const char *name;
    size_t n, users_max;
    const float *scores;
    const uint8_t *labels;
    const uint32_t *users, *weights;
    double auc, auc_weighted, log_loss, pr_auc, brier, ne, slope, intercept;
    double uauc, gauc_impressions, gauc_positives;
    size_t users_n, skipped_n;
    double accuracy, ece, bias;
    const double *roc;
} golden_case;

#include "tests/golden/metrics_golden.h"

#define CASES_N (sizeof(GOLDEN_CASES) / sizeof(GOLDEN_CASES[0]))

static void near(const char *name, const char *what, double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= TOLERANCE))
        fail_msg("%s, %s: %.17g, expected %.17g", name, what, got, want);
}

static void golden_auc(void **state)
{
    uint64_t keys[512];

    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        near(c->name, "AUC", lcf_auc(c->scores, c->labels, c->n, keys), c->auc);
        lcf_score_order(keys, c->scores, c->n, keys + 256);
        near(c->name, "AUC of an order", auc_of_order(keys, c->labels, NULL, c->n), c->auc);
        near(c->name, "weighted AUC", auc_of_order(keys, c->labels, c->weights, c->n),
             c->auc_weighted);
    }
}

static void golden_log_loss(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        near(c->name, "log loss", lcf_log_loss(c->scores, c->labels, c->n), c->log_loss);
    }
}

static void golden_probabilities(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        lcf_calibration_fit fit = lcf_calibration_fit_compute(c->scores, c->labels, c->n);
        double positives = 0;
        for (size_t i = 0; i < c->n; i++)
            positives += c->labels[i];
        near(c->name, "Brier score", brier_of(c->scores, c->labels, c->n), c->brier);
        near(c->name, "normalised entropy",
             lcf_normalised_entropy(lcf_log_loss(c->scores, c->labels, c->n), positives,
                                    (double)c->n),
             c->ne);
        near(c->name, "calibration slope", fit.slope, c->slope);
        near(c->name, "calibration intercept", fit.intercept, c->intercept);
    }
}

static void golden_pr_auc(void **state)
{
    uint64_t keys[512];

    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        lcf_score_order(keys, c->scores, c->n, keys + 256);
        near(c->name, "PR-AUC", pr_auc_of_order(keys, c->labels, c->n), c->pr_auc);
    }
}

static void fit_needs_overlapping_classes(void **state)
{
    const float scores[] = {0.2f, 0.4f, 0.4f, 0.9f}, equal[] = {0.5f, 0.5f, 0.5f, 0.5f};
    const uint8_t apart[] = {0, 0, 1, 1}, turned[] = {1, 1, 0, 0}, mixed[] = {0, 1, 0, 1};

    (void)state;
    assert_true(isnan(lcf_calibration_fit_compute(scores, apart, 4).slope));
    assert_true(isnan(lcf_calibration_fit_compute(scores, turned, 4).slope));
    assert_true(isnan(lcf_calibration_fit_compute(equal, mixed, 4).slope));
    assert_true(isnan(lcf_calibration_fit_compute(scores, apart, 2).slope)); /* one class */
    assert_true(isnan(lcf_calibration_fit_compute(scores, apart, 0).slope));
    assert_true(isnan(lcf_normalised_entropy(0.1, 0, 10)));
    assert_true(isnan(lcf_normalised_entropy(0.1, 10, 10)));
}

static void golden_user_auc(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        lcf_user_auc got;
        lcf_err err = LCF_ERR_INIT;
        assert_int_equal(lcf_user_auc_compute(&got, NULL, c->scores, c->labels, c->users, c->n,
                                              c->users_max, &err),
                         LCF_OK);
        near(c->name, "UAUC", got.uauc, c->uauc);
        near(c->name, "GAUC by impressions", got.gauc_impressions, c->gauc_impressions);
        near(c->name, "GAUC by positives", got.gauc_positives, c->gauc_positives);
        assert_int_equal(got.users_n, c->users_n);
        assert_int_equal(got.skipped_n, c->skipped_n);
    }
}

static void golden_calibration(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        lcf_calibration got = {0};
        lcf_calibration_add(&got, c->scores, c->labels, c->n / 2); /* in two parts, as seeds are */
        lcf_calibration_add(&got, c->scores + c->n / 2, c->labels + c->n / 2, c->n - c->n / 2);
        near(c->name, "ECE", ece_of(&got), c->ece);
        near(c->name, "accuracy", lcf_calibration_accuracy(&got), c->accuracy);
        near(c->name, "bias", lcf_calibration_bias(&got), c->bias);
    }
}

static void golden_roc(void **state)
{
    uint64_t keys[512];
    double tpr[LCF_ROC_POINTS];

    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_case *c = &GOLDEN_CASES[k];
        lcf_score_order(keys, c->scores, c->n, keys + 256);
        lcf_roc_grid(tpr, keys, c->labels, c->n);
        for (size_t i = 0; i < LCF_ROC_POINTS; i++)
            near(c->name, "ROC", tpr[i], c->roc[i]);
    }
}

static void golden_stats(void **state)
{
    size_t n = sizeof(GOLDEN_VALUES) / sizeof(double), m = sizeof(GOLDEN_P) / sizeof(double);
    double values[128], adjusted[16];
    lcf_interval interval;

    (void)state;
    memcpy(values, GOLDEN_VALUES, sizeof(GOLDEN_VALUES));
    near("stats", "mean", lcf_stats_mean(values, n), GOLDEN_MEAN);
    near("stats", "std", lcf_stats_std(values, n), GOLDEN_STD);
    values[n] = NAN; /* is left out, and counted */
    interval = lcf_stats_interval(values, n + 1, 0.95);
    near("stats", "low", interval.low, GOLDEN_LOW);
    near("stats", "high", interval.high, GOLDEN_HIGH);
    assert_int_equal(interval.undefined_n, 1);
    lcf_stats_holm(adjusted, GOLDEN_P, m);
    for (size_t i = 0; i < m; i++)
        near("stats", "Holm", adjusted[i], GOLDEN_HOLM[i]);
}

static void holm_ignores_missing_tests(void **state)
{
    const double p[] = {NAN, 0.02, NAN, 0.03};
    double adjusted[4];

    (void)state;
    lcf_stats_holm(adjusted, p, 4);
    assert_true(isnan(adjusted[0]) && isnan(adjusted[2]));
    near("Holm", "first", adjusted[1], 0.04);
    near("Holm", "second", adjusted[3], 0.04);
}

static void p_value_by_hand(void **state)
{
    const double mixed[] = {-1, 1, 2, 3}, above[] = {1, 2, 3, NAN}, zero[] = {0, 0}, none[] = {NAN};

    (void)state;
    near("p", "one of four below", lcf_stats_p_value(mixed, 4), 2.0 * 2 / 5);
    near("p", "none of three below", lcf_stats_p_value(above, 4), 2.0 * 1 / 4);
    near("p", "no difference", lcf_stats_p_value(zero, 2), 1);
    near("p", "undefined", lcf_stats_p_value(none, 1), NAN);
}

static void one_class_is_nan(void **state)
{
    const float scores[] = {0.1f, 0.2f, NAN};
    const uint8_t ones[] = {1, 1, 0}, zeros[] = {0, 0, 1};
    uint64_t keys[6];

    (void)state;
    assert_true(isnan(lcf_auc(scores, ones, 2, keys)));
    assert_true(isnan(lcf_auc(scores, zeros, 2, keys)));
    assert_true(isnan(lcf_auc(scores, ones, 0, keys)));
    assert_true(isnan(lcf_auc(scores, ones, 3, keys)));
    assert_true(isnan(lcf_log_loss(scores, ones, 0)));
    assert_true(isnan(lcf_log_loss(scores, ones, 3)));
}

static void order_of_signs_and_zeros(void **state)
{
    const float scores[] = {1e30f, -0.0f, -2.5f, 0.0f, -INFINITY, INFINITY, 1e-40f};
    const uint32_t rows[] = {4, 2, 1, 3, 6, 0, 5};
    uint64_t order[7], scratch[7];

    (void)state;
    lcf_score_order(order, scores, 7, scratch);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(lcf_order_row(order[i]), rows[i]);
    assert_int_equal(lcf_order_rank(order[2]), lcf_order_rank(order[3]));
}

static void rela_impr_by_hand(void **state)
{
    (void)state;
    near("RelaImpr", "gain", lcf_rela_impr(0.6, 0.62), 0.2);
    near("RelaImpr", "loss", lcf_rela_impr(0.75, 0.5), -1);
    near("RelaImpr", "no better than guessing", lcf_rela_impr(0.5, 0.6), NAN);
}

static void user_auc_failures(void **state)
{
    const float scores[] = {0.5f, NAN};
    const uint8_t labels[] = {0, 1};
    const uint32_t users[] = {0, 0};
    lcf_user_auc got;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_user_auc_compute(&got, NULL, scores, labels, users, 2, 1, &err),
                     LCF_EINVAL);
    assert_non_null(strstr(err.text, "row 1"));
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        lcf_status status = lcf_user_auc_compute(&got, NULL, scores, labels, users, 1, 1, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_in_range(n, 1, 8);
    }
    assert_int_equal(got.skipped_n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_auc),
        cmocka_unit_test(golden_log_loss),
        cmocka_unit_test(golden_probabilities),
        cmocka_unit_test(golden_pr_auc),
        cmocka_unit_test(fit_needs_overlapping_classes),
        cmocka_unit_test(golden_user_auc),
        cmocka_unit_test(golden_calibration),
        cmocka_unit_test(golden_roc),
        cmocka_unit_test(golden_stats),
        cmocka_unit_test(holm_ignores_missing_tests),
        cmocka_unit_test(p_value_by_hand),
        cmocka_unit_test(one_class_is_nan),
        cmocka_unit_test(order_of_signs_and_zeros),
        cmocka_unit_test(rela_impr_by_hand),
        cmocka_unit_test(user_auc_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
