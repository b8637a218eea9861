/*
 * The bootstrap against what must hold whatever the numbers: the point estimate is the measure, the
 * result does not depend on threads, copying every row changes nothing (clusters are users), and
 * two arms that do not differ are told apart about one time in twenty.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/auc.h"
#include "offline/eval/bootstrap.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/normalised_entropy.h"
#include "offline/eval/score_order.h"
#include "offline/eval/self_test.h"
#include "offline/eval/stats.h"
#include "offline/eval/table.h"
#include "offline/eval/user_auc.h"
#include "offline/eval/weighted.h"
#include "tests/unit/eval/definitions.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS_MAX 4096
#define SEEDS_MAX 4

/* Predictions in static room: two arms over the same rows. */
typedef struct fixture {
    uint64_t row[ROWS_MAX], seeds[SEEDS_MAX];
    uint32_t user[ROWS_MAX];
    uint8_t label[ROWS_MAX];
    float scores[LCF_ARMS][SEEDS_MAX * ROWS_MAX];
    lcf_predictions arms[LCF_ARMS];
} fixture;

static fixture F;

static float sigmoid(double x)
{
    return (float)(1 / (1 + exp(-x)));
}

/*
 * users x per_user rows. A user's rows share a taste that both arms miss and each arm errs about in
 * its own way, so that rows of a user are dependent. `skill_b` > 1 makes B better.
 */
static void simulate(uint64_t seed, size_t users, size_t per_user, size_t seeds, double skill_b)
{
    lcf_rng rng;
    size_t n = users * per_user;

    lcf_rng_seed(&rng, seed, 77);
    for (size_t i = 0; i < n; i++) {
        static double shared, own[LCF_ARMS];
        double taste = lcf_rng_normal(&rng);
        if (i % per_user == 0) {
            shared = lcf_rng_normal(&rng);
            for (size_t a = 0; a < LCF_ARMS; a++)
                own[a] = lcf_rng_normal(&rng);
        }
        F.row[i] = 10 + i;
        F.user[i] = (uint32_t)(5 + 3 * (i / per_user)); /* with gaps, as in a split */
        F.label[i] = lcf_rng_f64(&rng) < (double)sigmoid(taste + shared);
        for (size_t a = 0; a < LCF_ARMS; a++)
            for (size_t s = 0; s < seeds; s++)
                F.scores[a][s * n + i] =
                    sigmoid(taste * (a ? skill_b : 1) + 0.7 * own[a] + 0.7 * lcf_rng_normal(&rng));
    }
    for (size_t s = 0; s < seeds; s++)
        F.seeds[s] = s + 1;
    for (size_t a = 0; a < LCF_ARMS; a++)
        F.arms[a] = (lcf_predictions){NULL, n, seeds, F.row, F.user, F.label, F.seeds, F.scores[a]};
}

static lcf_bootstrap bootstrap(const lcf_eval_table *t, size_t threads, size_t replicates,
                               bool seeds_fixed)
{
    lcf_bootstrap_options options = LCF_BOOTSTRAP_OPTIONS_INIT;
    lcf_bootstrap b;
    lcf_pool *pool;

    options.replicates_n = replicates;
    options.seeds_fixed = seeds_fixed;
    assert_int_equal(lcf_pool_create(&pool, threads, NULL), LCF_OK);
    assert_int_equal(lcf_bootstrap_run(&b, t, pool, &options, NULL), LCF_OK);
    lcf_pool_free(pool);
    return b;
}

static size_t values_bytes(const lcf_bootstrap *b)
{
    return b->replicates_n * LCF_ARMS * LCF_METRICS_N * sizeof(double);
}

static void lifts(double *out, const lcf_bootstrap *b, lcf_metric metric)
{
    for (size_t r = 0; r < b->replicates_n; r++)
        out[r] = lcf_bootstrap_value(b, r, 1, metric) - lcf_bootstrap_value(b, r, 0, metric);
}

static void point_is_the_measure(void **state)
{
    lcf_eval_table t;
    lcf_bootstrap b;
    lcf_user_auc users;
    uint64_t keys[1200];

    (void)state;
    simulate(1, 60, 10, 3, 1.5);
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_int_equal(t.users_n, 60);
    b = bootstrap(&t, 1, 1, false);
    for (size_t a = 0; a < LCF_ARMS; a++)
        for (size_t s = 0; s < 3; s++) {
            const float *scores = F.scores[a] + s * 600;
            const double *point = b.point[a] + s * LCF_METRICS_N;
            assert_int_equal(
                lcf_user_auc_compute(&users, NULL, scores, F.label, t.user, 600, 60, NULL), LCF_OK);
            assert_true(point[LCF_METRIC_AUC] == lcf_auc(scores, F.label, 600, keys));
            assert_true(fabs(point[LCF_METRIC_LOGLOSS] - lcf_log_loss(scores, F.label, 600)) <
                        1e-12);
            assert_true(fabs(point[LCF_METRIC_UAUC] - users.uauc) < 1e-12);
            assert_true(fabs(point[LCF_METRIC_GAUC_IMPRESSIONS] - users.gauc_impressions) < 1e-12);
            assert_int_equal(b.users_both_n, users.users_n);
        }
    lcf_bootstrap_dispose(&b);
    lcf_eval_table_dispose(&t);
}

/* The measures under one weighting by the definition: each row copied as often as its user counts,
 * and each copy of a user a user of its own. */
static void by_copying(double *out, const float *scores, const uint32_t *users, size_t n,
                       const uint8_t *weights)
{
    static float copy[16 * ROWS_MAX];
    static uint8_t labels[16 * ROWS_MAX];
    static uint32_t of[16 * ROWS_MAX];
    static uint64_t keys[2 * 16 * ROWS_MAX];
    lcf_calibration calibration = {0};
    lcf_user_auc means;
    size_t k = 0;
    double positives = 0;

    for (size_t i = 0; i < n; i++)
        for (uint32_t w = 0; w < weights[users[i]]; w++, k++) {
            copy[k] = scores[i];
            labels[k] = F.label[i];
            of[k] = users[i] * 16 + w;
            positives += labels[k];
        }
    lcf_score_order(keys, copy, k, keys + k);
    lcf_calibration_add(&calibration, copy, labels, k);
    assert_int_equal(lcf_user_auc_compute(&means, NULL, copy, labels, of, k, 16 * n, NULL), LCF_OK);
    out[LCF_METRIC_AUC] = auc_of_order(keys, labels, NULL, k);
    out[LCF_METRIC_PR_AUC] = pr_auc_of_order(keys, labels, k);
    out[LCF_METRIC_LOGLOSS] = lcf_log_loss(copy, labels, k);
    out[LCF_METRIC_NE] = lcf_normalised_entropy(out[LCF_METRIC_LOGLOSS], positives, (double)k);
    out[LCF_METRIC_BRIER] = brier_of(copy, labels, k);
    out[LCF_METRIC_ECE] = ece_of(&calibration);
    out[LCF_METRIC_UAUC] = means.uauc;
    out[LCF_METRIC_GAUC_IMPRESSIONS] = means.gauc_impressions;
    out[LCF_METRIC_GAUC_POSITIVES] = means.gauc_positives;
}

static void weights_are_copies(void **state)
{
    enum { USERS = 40, ROWS = 6, N = USERS * ROWS };
    static uint8_t weights[USERS * LCF_LANES], lane[USERS];
    double got[LCF_METRICS_N * LCF_LANES], baseline[LCF_METRICS_N * LCF_LANES];
    double want[LCF_METRICS_N];
    uint32_t users[N];
    lcf_weighted_users u;
    lcf_weighted_run run;
    lcf_rng rng;

    (void)state;
    simulate(11, USERS, ROWS, 1, 1);
    lcf_rng_seed(&rng, 12, 0);
    for (size_t i = 0; i < N; i++) {
        users[i] = (uint32_t)(i / ROWS);
        if (i % 3) /* ties within and across classes, and the edges of the bins */
            F.scores[0][i] = roundf(F.scores[0][i] * 10) / 10;
    }
    for (size_t i = 0; i < sizeof(weights); i++) /* lane 0 counts nobody, lane 1 few users */
        weights[i] = (uint8_t)(i % LCF_LANES == 0   ? 0
                               : i % LCF_LANES == 1 ? lcf_rng_below(&rng, 20) == 0
                                                    : lcf_rng_below(&rng, 16));
    assert_int_equal(lcf_weighted_users_init(&u, F.label, users, N, USERS, NULL), LCF_OK);
    assert_int_equal(lcf_weighted_run_init(&run, &u, F.scores[0], F.label, users, NULL), LCF_OK);
    lcf_weighted_measures(got, &run, weights);
    lcf_weighted_measures_baseline(baseline, &run, weights);
    assert_memory_equal(got, baseline, sizeof(got));
    for (size_t k = 0; k < LCF_LANES; k++) {
        for (size_t i = 0; i < USERS; i++)
            lane[i] = weights[i * LCF_LANES + k];
        by_copying(want, F.scores[0], users, N, lane);
        for (size_t m = 0; m < LCF_METRIC_LISTS; m++) {
            double value = got[m * LCF_LANES + k];
            if (isnan(want[m]) ? !isnan(value) : !(fabs(value - want[m]) < 1e-12))
                fail_msg("%s in lane %zu: %.17g, expected %.17g", LCF_METRIC_INFO[m].name, k, value,
                         want[m]);
        }
    }
    lcf_weighted_run_dispose(&run);
    lcf_weighted_users_dispose(&u);
}

static void same_at_any_thread_count(void **state)
{
    lcf_eval_table t;
    lcf_bootstrap one, three;

    (void)state;
    simulate(2, 40, 6, 2, 1);
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    one = bootstrap(&t, 1, 150, false);
    three = bootstrap(&t, 3, 150, false);
    assert_memory_equal(one.values, three.values, values_bytes(&one));
    lcf_bootstrap_dispose(&one);
    lcf_bootstrap_dispose(&three);
    lcf_eval_table_dispose(&t);
}

/* Rows of a user copied five times are no new evidence: AUC, UAUC and GAUC of every replicate stay
 * what they were (they are ratios of exact counts), and log loss up to rounding. */
static void clusters_are_users(void **state)
{
    enum { USERS = 50, ROWS = 4, COPIES = 5, N = USERS * ROWS };
    static fixture copy;
    lcf_eval_table t, t5;
    lcf_bootstrap b, b5;

    (void)state;
    simulate(3, USERS, ROWS, 1, 1);
    for (size_t i = 0; i < N * COPIES; i++) {
        size_t from = i % N;
        copy.row[i] = 10 + i;
        copy.user[i] = F.user[from];
        copy.label[i] = F.label[from];
        for (size_t a = 0; a < LCF_ARMS; a++)
            copy.scores[a][i] = F.scores[a][from];
    }
    for (size_t a = 0; a < LCF_ARMS; a++)
        copy.arms[a] = (lcf_predictions){NULL,      N * COPIES, 1,       copy.row,
                                         copy.user, copy.label, F.seeds, copy.scores[a]};
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_int_equal(lcf_eval_table_align(&t5, &copy.arms[0], &copy.arms[1], NULL, NULL), LCF_OK);
    b = bootstrap(&t, 1, 200, false);
    b5 = bootstrap(&t5, 1, 200, false);
    for (size_t r = 0; r < 200; r++)
        for (size_t a = 0; a < LCF_ARMS; a++)
            for (size_t m = 0; m < LCF_METRIC_LISTS; m++)
                assert_true(fabs(lcf_bootstrap_value(&b, r, a, (lcf_metric)m) -
                                 lcf_bootstrap_value(&b5, r, a, (lcf_metric)m)) < 1e-12);
    lcf_bootstrap_dispose(&b);
    lcf_bootstrap_dispose(&b5);
    lcf_eval_table_dispose(&t);
    lcf_eval_table_dispose(&t5);
}

/* Runs `pairs` simulated comparisons; in how many does the interval of that lift exclude 0? */
static size_t told_apart(size_t pairs, size_t users, double skill_b, lcf_metric metric)
{
    enum { REPLICATES = 200 };
    size_t count = 0;

    for (size_t k = 0; k < pairs; k++) {
        double values[REPLICATES];
        lcf_eval_table t;
        lcf_bootstrap b;
        lcf_interval interval;
        simulate(1000 + k, users, 4, 1, skill_b);
        assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
        b = bootstrap(&t, 1, REPLICATES, false);
        lifts(values, &b, metric);
        interval = lcf_stats_interval(values, REPLICATES, 0.95);
        count += interval.low > 0 || interval.high < 0;
        lcf_bootstrap_dispose(&b);
        lcf_eval_table_dispose(&t);
    }
    return count;
}

/* Arms of equal skill over 400 pairs: 20 false alarms expected, standard deviation 4.4. */
static void equal_arms_are_rarely_told_apart(void **state)
{
    (void)state;
    assert_in_range(told_apart(400, 60, 1, LCF_METRIC_AUC), 8, 38);
    assert_in_range(told_apart(400, 60, 1, LCF_METRIC_LOGLOSS), 8, 38);
}

/* The A/A self-test: 5 % +- 1 % of 1,000 resamples, although the arms it mixes are not the same. */
static void self_test_rejects_one_in_twenty(void **state)
{
    static const lcf_metric METRICS[] = {LCF_METRIC_AUC, LCF_METRIC_LOGLOSS, LCF_METRIC_NDCG};
    lcf_eval_table t;
    lcf_self_test result;
    lcf_pool *pool;

    (void)state;
    simulate(21, 300, 2, 1, 1.3);
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    assert_int_equal(lcf_self_test_run(&result, &t, pool, 1000, 900, 2, NULL, NULL), LCF_OK);
    assert_int_equal(result.resamples_n, 1000);
    for (size_t i = 0; i < sizeof(METRICS) / sizeof(METRICS[0]); i++) {
        size_t rejected = result.rejected_n[METRICS[i]];
        assert_int_equal(result.defined_n[METRICS[i]], 1000);
        if (rejected < 40 || rejected > 60)
            fail_msg("%s: %zu of 1000", LCF_METRIC_INFO[METRICS[i]].name, rejected);
    }
    lcf_pool_free(pool);
    lcf_eval_table_dispose(&t);
}

static void a_better_arm_is_found(void **state)
{
    (void)state;
    assert_in_range(told_apart(40, 500, 3, LCF_METRIC_AUC), 36, 40);
}

/* One seed of B is bad: drawing seeds must widen the interval, keeping them must not. */
static void seeds_enter_as_a_factor(void **state)
{
    double drawn[400], fixed[400];
    lcf_interval wide, narrow;
    lcf_eval_table t;
    lcf_bootstrap b;

    (void)state;
    simulate(4, 60, 10, 3, 1);
    for (size_t i = 0; i < 600; i++)
        F.scores[1][i] = 1 - F.scores[1][i];
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_true(t.seeds_paired);
    b = bootstrap(&t, 2, 400, false);
    lifts(drawn, &b, LCF_METRIC_AUC);
    wide = lcf_stats_interval(drawn, 400, 0.95);
    lcf_bootstrap_dispose(&b);
    b = bootstrap(&t, 2, 400, true);
    lifts(fixed, &b, LCF_METRIC_AUC);
    narrow = lcf_stats_interval(fixed, 400, 0.95);
    assert_true(wide.high - wide.low > 2 * (narrow.high - narrow.low));
    lcf_bootstrap_dispose(&b);
    lcf_eval_table_dispose(&t);
}

/* Arms with other seeds, and with another number of them, are compared without pairing seeds. */
static void seeds_may_differ(void **state)
{
    static const uint64_t other[] = {7, 8, 9};
    double values[300];
    lcf_interval interval;
    lcf_eval_table t;
    lcf_bootstrap b;

    (void)state;
    simulate(8, 60, 10, 3, 1);
    F.arms[0].seeds_n = 2;
    F.arms[1].seeds = other;
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_false(t.seeds_paired);
    b = bootstrap(&t, 2, 300, false);
    assert_int_equal(b.seeds_n[0], 2);
    assert_int_equal(b.seeds_n[1], 3);
    lifts(values, &b, LCF_METRIC_AUC);
    interval = lcf_stats_interval(values, 300, 0.95);
    assert_int_equal(interval.undefined_n, 0);
    assert_true(interval.low < lcf_bootstrap_point(&b, 1, LCF_METRIC_AUC) -
                                   lcf_bootstrap_point(&b, 0, LCF_METRIC_AUC));
    assert_true(interval.low < interval.high);
    lcf_bootstrap_dispose(&b);
    lcf_eval_table_dispose(&t);
}

static void expect_refused(const char *what)
{
    lcf_eval_table t;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, &err), LCF_EFORMAT);
    if (!strstr(err.text, what))
        fail_msg("'%s' does not say '%s'", err.text, what);
}

static void misaligned_arms_are_refused(void **state)
{
    static uint64_t row[ROWS_MAX];
    static uint32_t user[ROWS_MAX];
    static uint8_t label[ROWS_MAX];

    (void)state;
    simulate(5, 10, 4, 2, 1);
    memcpy(row, F.row, sizeof(row));
    memcpy(user, F.user, sizeof(user));
    memcpy(label, F.label, sizeof(label));
    F.arms[1].row = row;
    F.arms[1].user = user;
    F.arms[1].label = label;
    row[7] = 99;
    expect_refused("prediction 7 is sample 17 in A and sample 99 in B");
    row[7] = 17;
    user[3] = 1;
    expect_refused("sample 13 belongs to user 5 in A and to user 1 in B");
    user[3] = F.user[3];
    label[20] = !label[20];
    expect_refused("sample 30 has label");
    label[20] = !label[20];
    F.arms[1].rows_n = 39;
    expect_refused("the first without a partner is sample 49");
    F.arms[1].rows_n = 40;
    F.scores[1][40 + 12] = NAN;
    expect_refused("arm B, seed 2, sample 22");
    F.scores[1][40 + 12] = 1.5f;
    expect_refused("not a probability");
    F.scores[1][40 + 12] = 0.5f;
    memset(F.label, 1, 40);
    memset(label, 1, 40);
    expect_refused("all 40 rows, from sample 10 to 49, have label 1");
    F.arms[0].rows_n = F.arms[1].rows_n = 0;
    expect_refused("no row");
}

static void slices_keep_rows_and_renumber_users(void **state)
{
    uint8_t slice[40];
    lcf_eval_table t, part;

    (void)state;
    simulate(6, 10, 4, 2, 1);
    for (size_t i = 0; i < 40; i++)
        slice[i] = (uint8_t)(i / 4 % 2); /* users 1, 3, 5, 7, 9 */
    assert_int_equal(lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL), LCF_OK);
    assert_int_equal(lcf_eval_table_select(&part, &t, slice, 1, NULL), LCF_OK);
    assert_int_equal(part.rows_n, 20);
    assert_int_equal(part.users_n, 5);
    assert_int_equal(part.row[5], F.row[13]);
    assert_int_equal(part.user[5], 1);
    assert_true(lcf_eval_table_run(&part, 1, 1)[5] == F.scores[1][40 + 13]);
    lcf_eval_table_dispose(&part);
    lcf_eval_table_dispose(&t);
}

static lcf_status compare_once(lcf_pool *pool)
{
    lcf_bootstrap_options options = LCF_BOOTSTRAP_OPTIONS_INIT;
    lcf_eval_table t;
    lcf_bootstrap b;
    lcf_status status = lcf_eval_table_align(&t, &F.arms[0], &F.arms[1], NULL, NULL);

    options.replicates_n = 3;
    if (status)
        return status;
    status = lcf_bootstrap_run(&b, &t, pool, &options, NULL);
    if (!status)
        lcf_bootstrap_dispose(&b);
    lcf_eval_table_dispose(&t);
    return status;
}

static void survives_failed_allocations(void **state)
{
    lcf_status status = LCF_ENOMEM;
    lcf_pool *pool;

    (void)state;
    simulate(7, 10, 4, 2, 1);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 200);
        lcf_alloc_fail_at(n);
        status = compare_once(pool);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    lcf_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(point_is_the_measure),
        cmocka_unit_test(weights_are_copies),
        cmocka_unit_test(same_at_any_thread_count),
        cmocka_unit_test(clusters_are_users),
        cmocka_unit_test(equal_arms_are_rarely_told_apart),
        cmocka_unit_test(self_test_rejects_one_in_twenty),
        cmocka_unit_test(a_better_arm_is_found),
        cmocka_unit_test(seeds_enter_as_a_factor),
        cmocka_unit_test(seeds_may_differ),
        cmocka_unit_test(misaligned_arms_are_refused),
        cmocka_unit_test(slices_keep_rows_and_renumber_users),
        cmocka_unit_test(survives_failed_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
