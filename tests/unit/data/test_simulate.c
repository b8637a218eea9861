/* simulate: the log is what its description says, and the truth beside it is true. */
#include "offline/data/simulate.h"

#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "offline/data/prepare.h"
#include "offline/data/sim_shop.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lcf_simulate_options small(void)
{
    lcf_simulate_options o = LCF_SIMULATE_OPTIONS_INIT;

    o.users_n = 200;
    o.items_n = 60;
    o.days = 30;
    o.requests_per_user = 10.0;
    o.slate = 4;
    return o;
}

static void make(lcf_sim_shop *shop, lcf_sim_log *log, const lcf_simulate_options *o)
{
    assert_int_equal(lcf_sim_shop_create(shop, o), LCF_OK);
    assert_int_equal(lcf_sim_log_create(log, shop, o), LCF_OK);
}

/* Impressions are in order, every slate has distinct items on sale, probabilities are some. */
static void test_slates(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;
    lcf_sim_log log;

    (void)state;
    make(&shop, &log, &o);
    assert_true(log.impressions_n <= 4 * log.requests_n);
    for (size_t i = 0; i < log.impressions_n; i++) {
        const lcf_sim_impression *a = log.impressions + i;

        assert_true(a->propensity > 0.0 && a->propensity <= 1.0);
        assert_true(a->click_truth > 0.0 && a->click_truth < 1.0);
        assert_true(a->item < shop.n && a->user < o.users_n);
        assert_true((int64_t)shop.items[a->item].launch_day <=
                    (a->time - INT64_C(1735689600)) / 86400);
        for (size_t j = i + 1; j < log.impressions_n && log.impressions[j].request == a->request;
             j++) {
            assert_int_equal(log.impressions[j].position, a->position + (j - i));
            assert_int_not_equal(log.impressions[j].item, a->item);
        }
        if (i)
            assert_true(a->time >= log.impressions[i - 1].time);
    }
    for (size_t i = 1; i < log.interactions_n; i++)
        assert_true(log.interactions[i].time >= log.interactions[i - 1].time);
    lcf_sim_log_dispose(&log);
    lcf_sim_shop_dispose(&shop);
}

/*
 * The recorded probabilities are the ones that were drawn from: observed counts lie within five
 * standard deviations of their sums.
 */
static void test_truth_is_calibrated(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;
    lcf_sim_log log;
    double expected = 0.0, variance = 0.0, likes = 0.0, like_variance = 0.0, first = 0.0,
           first_variance = 0.0;
    double clicks = 0.0, liked = 0.0, first_clicks = 0.0, by_position[5] = {0};

    (void)state;
    o.users_n = 1000;
    make(&shop, &log, &o);
    for (size_t i = 0; i < log.impressions_n; i++) {
        double p = log.impressions[i].click_truth;

        expected += p;
        variance += p * (1.0 - p);
        clicks += log.impressions[i].clicked;
        by_position[log.impressions[i].position] += log.impressions[i].clicked;
        if (log.impressions[i].position == 1)
            first_clicks += log.impressions[i].clicked;
    }
    assert_true(fabs(clicks - expected) < 5.0 * sqrt(variance));
    for (int k = 2; k <= 4; k++)
        assert_true(by_position[k] < by_position[k - 1]);
    for (size_t i = 0; i < log.interactions_n; i++) {
        double p = log.interactions[i].like_truth;

        likes += p;
        like_variance += p * (1.0 - p);
        liked += log.interactions[i].rating >= 4;
        assert_in_range(log.interactions[i].rating, 1, 5);
    }
    assert_true(fabs(liked - likes) < 5.0 * sqrt(like_variance));
    assert_true(liked > 0.35 * (double)log.interactions_n);
    assert_true(liked < 0.65 * (double)log.interactions_n);
    /* The value of the logging policy on position 1 is what position 1 earned. */
    for (size_t i = 0; i < log.requests_n; i++) {
        double p = log.requests[i].value[0];

        first += p;
        first_variance += p * (1.0 - p);
        assert_true(log.requests[i].value[3] >= log.requests[i].value[0]);
        assert_true(log.requests[i].value[3] >= log.requests[i].value[1]);
    }
    assert_true(fabs(first_clicks - first) < 5.0 * sqrt(first_variance));
    lcf_sim_log_dispose(&log);
    lcf_sim_shop_dispose(&shop);
}

/* Inverse propensity weighting over the log finds the true value of the uniform policy. */
static void test_propensities_reweight(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;
    lcf_sim_log log;
    double sum = 0.0, squares = 0.0, truth = 0.0, n, mean, error;
    size_t impression = 0;

    (void)state;
    o.users_n = 2000;
    make(&shop, &log, &o);
    n = (double)log.requests_n;
    for (size_t i = 0; i < log.requests_n; i++) {
        double w, reward;

        while (log.impressions[impression].request != i)
            impression++;
        assert_int_equal(log.impressions[impression].position, 1);
        w = log.requests[i].propensity[1] / log.requests[i].propensity[0];
        assert_true(w <= 10.0 + 1e-9); /* exploration bounds the weights */
        assert_true(fabs(log.requests[i].propensity[0] - log.impressions[impression].propensity) <
                    1e-12);
        reward = w * log.impressions[impression].clicked;
        sum += reward;
        squares += reward * reward;
        truth += log.requests[i].value[1];
    }
    mean = sum / n;
    error = sqrt((squares / n - mean * mean) / n);
    assert_true(fabs(mean - truth / n) < 5.0 * error);
    lcf_sim_log_dispose(&log);
    lcf_sim_shop_dispose(&shop);
}

/* What a user does depends on the options and on that user alone. */
static void test_users_are_independent(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;
    lcf_sim_log one, two;
    size_t at = 0;

    (void)state;
    o.users_n = 5;
    make(&shop, &one, &o);
    o.users_n = 9;
    assert_int_equal(lcf_sim_log_create(&two, &shop, &o), LCF_OK);
    for (size_t i = 0; i < two.interactions_n; i++) {
        const lcf_sim_interaction *b = two.interactions + i, *a;

        if (b->user >= 5)
            continue;
        assert_true(at < one.interactions_n);
        a = one.interactions + at++;
        assert_int_equal(a->user, b->user);
        assert_int_equal(a->item, b->item);
        assert_int_equal(a->time, b->time);
        assert_int_equal(a->rating, b->rating);
    }
    assert_int_equal(at, one.interactions_n);
    lcf_sim_log_dispose(&one);
    lcf_sim_log_dispose(&two);
    lcf_sim_shop_dispose(&shop);
}

static void test_titles(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;

    (void)state;
    o.items_n = 20000; /* far more than the words allow: numbers make them unique */
    assert_int_equal(lcf_sim_shop_create(&shop, &o), LCF_OK);
    assert_int_equal(shop.title.n, 20001);
    assert_int_equal(shop.text.n, 20001);
    assert_int_equal(shop.categories.n, 20001);
    lcf_sim_shop_dispose(&shop);
}

/* A shop that sells out: slates get shorter, then requests stop. */
static void test_sold_out(void **state)
{
    lcf_simulate_options o = small();
    lcf_sim_shop shop;
    lcf_sim_log log;

    (void)state;
    o.users_n = 3;
    o.items_n = 2;
    o.days = 3;
    o.requests_per_user = 60.0;
    make(&shop, &log, &o);
    assert_true(log.interactions_n <= 6);
    assert_true(log.requests_n > 0);
    lcf_sim_log_dispose(&log);
    lcf_sim_shop_dispose(&shop);
}

static void id_of(char id[65], const lcf_simulate_options *o)
{
    lcf_err err = LCF_ERR_INIT;

    if (lcf_simulate(NULL, NULL, o, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_manifest_verify(o->out_dir, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_read(id, NULL, o->out_dir, NULL), LCF_OK);
}

static void test_files(void **state)
{
    lcf_simulate_options o = small();
    lcf_prepare_options prepare = LCF_PREPARE_OPTIONS_INIT;
    char *dir = lcf_fixture_dir(), *raw = lcf_path_join(dir, "raw"),
         *dataset = lcf_path_join(dir, "dataset"), *truth = lcf_path_join(raw, "truth.lcf");
    char first[65], second[65];
    lcf_bundle *b = NULL;
    uint64_t n[1] = {0};
    const void *like;
    json_t *stats = NULL;
    bool current;

    (void)state;
    o.out_dir = raw;
    id_of(first, &o);
    assert_int_equal(lcf_simulate(NULL, &current, &o, NULL), LCF_OK);
    assert_true(current);
    o.force = true;
    id_of(second, &o); /* the id covers the bytes of every file */
    assert_string_equal(first, second);
    o.seed++;
    id_of(second, &o);
    assert_string_not_equal(first, second);
    prepare.input_dir = raw;
    prepare.out_dir = dataset;
    assert_int_equal(lcf_prepare(&stats, NULL, &prepare, NULL), LCF_OK);
    assert_int_equal(json_integer_value(json_object_get(stats, "bad_rows")), 0);
    assert_int_equal(json_integer_value(json_object_get(stats, "unknown_items")), 0);
    assert_int_equal(json_integer_value(json_object_get(stats, "items")), o.items_n);
    assert_int_equal(lcf_bundle_open(&b, truth, "truth", LCF_TRUTH_VERSION, NULL), LCF_OK);
    assert_int_equal(lcf_bundle_get(&like, b, "interaction_like", LCF_F64, n, 1, NULL), LCF_OK);
    assert_int_equal(json_integer_value(json_object_get(stats, "interactions")), n[0]);
    lcf_bundle_close(b);
    json_decref(stats);
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(raw);
    free(dataset);
    free(truth);
}

static void test_errors(void **state)
{
    lcf_simulate_options o = small();

    (void)state;
    o.out_dir = "no-shop";
    o.slate = LCF_SIM_SLATE_MAX + 1;
    assert_int_equal(lcf_simulate(NULL, NULL, &o, NULL), LCF_EINVAL);
    o = small();
    o.items_n = 0;
    assert_int_equal(lcf_simulate(NULL, NULL, &o, NULL), LCF_EINVAL);
    o = small();
    o.requests_per_user = NAN;
    assert_int_equal(lcf_simulate(NULL, NULL, &o, NULL), LCF_EINVAL);
    assert_false(lcf_path_exists("no-shop"));
}

static void test_out_of_memory(void **state)
{
    lcf_simulate_options o = small();
    char *dir = lcf_fixture_dir(), *raw = lcf_path_join(dir, "raw");
    lcf_status status = LCF_ENOMEM;

    (void)state;
    o.out_dir = raw;
    o.users_n = 3;
    o.items_n = 3;
    o.requests_per_user = 2.0;
    for (uint64_t n = 1; status; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_simulate(NULL, NULL, &o, NULL);
        lcf_alloc_fail_at(0);
        /* A failure after the last step leaves all of it, any other nothing. */
        if (status && lcf_path_exists(raw)) {
            assert_int_equal(lcf_manifest_verify(raw, NULL), LCF_OK);
            o.force = true;
        }
        if (n > 5000)
            fail_msg("still failing: %s", lcf_status_text(status));
    }
    lcf_dir_remove(dir, NULL);
    free(dir);
    free(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slates),
        cmocka_unit_test(test_truth_is_calibrated),
        cmocka_unit_test(test_propensities_reweight),
        cmocka_unit_test(test_users_are_independent),
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_sold_out),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
