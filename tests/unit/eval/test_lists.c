/*
 * Measures of top-K lists against the definition in numpy (tests/golden/make_lists_golden.py), ties
 * and grades included, and against cases worked by hand.
 */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/lists/interleave.h"
#include "offline/eval/lists/list.h"
#include "offline/eval/lists/rank.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOLERANCE 1e-9

typedef struct golden_lists {
    const char *name;
    size_t n, users_n, k, items_n, dim;
    const float *scores, *vectors;
    const uint8_t *gains;
    const uint32_t *users, *items, *counts;
    const double *user_values, *all;
} golden_lists;

#include "tests/golden/lists_golden.h"

#define CASES_N (sizeof(GOLDEN_LISTS) / sizeof(GOLDEN_LISTS[0]))

static void near(const char *name, const char *what, double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= TOLERANCE))
        fail_msg("%s, %s: %.17g, expected %.17g", name, what, got, want);
}

static const char *metric_name(size_t m)
{
    return LCF_METRIC_INFO[LCF_METRIC_LISTS + m].name;
}

static void golden_measures(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES_N; k++) {
        const golden_lists *g = &GOLDEN_LISTS[k];
        lcf_list_items items = {g->items, g->items_n, 1, g->counts, 0, g->vectors, g->dim};
        lcf_candidates candidates;
        lcf_list_values values;
        for (size_t i = 0; i < g->items_n; i++)
            items.samples_n += g->counts[i];
        assert_int_equal(
            lcf_candidates_init(&candidates, g->gains, g->users, g->n, g->users_n, g->k, NULL),
            LCF_OK);
        assert_int_equal(lcf_lists_measure(&values, &candidates, g->scores, &items, NULL), LCF_OK);
        for (size_t i = 0; i < LCF_LIST_USER_METRICS_N * g->users_n; i++)
            near(g->name, metric_name(i / g->users_n), values.user[i], g->user_values[i]);
        for (size_t m = 0; m < LCF_LIST_METRICS_N; m++)
            near(g->name, metric_name(m), values.all[m], g->all[m]);
        lcf_list_values_dispose(&values);
        lcf_candidates_dispose(&candidates);
    }
}

static void what_is_not_known_is_not_measured(void **state)
{
    const lcf_list_items none = {NULL, 0, 0, NULL, 0, NULL, 0};
    const golden_lists *g = &GOLDEN_LISTS[0];
    lcf_candidates candidates;
    lcf_list_values values;

    (void)state;
    assert_int_equal(
        lcf_candidates_init(&candidates, g->gains, g->users, g->n, g->users_n, g->k, NULL), LCF_OK);
    assert_int_equal(lcf_lists_measure(&values, &candidates, g->scores, &none, NULL), LCF_OK);
    near("no items", "NDCG", values.all[LCF_LIST_NDCG], g->all[LCF_LIST_NDCG]);
    for (size_t m = LCF_LIST_NOVELTY; m < LCF_LIST_METRICS_N; m++)
        near("no items", metric_name(m), values.all[m], NAN);
    lcf_list_values_dispose(&values);
    lcf_candidates_dispose(&candidates);
}

/* A list that was ranked elsewhere: two of five relevant rows in four places. */
static void a_rank_list_by_hand(void **state)
{
    static const uint8_t gains[] = {0, 2, 0, 1}, ideal[] = {3, 2, 1, 1};
    const lcf_list l = {4, gains, 4, ideal, 4, 5};
    double best = 3 + 2 / log2(3) + 1 / 2.0 + 1 / log2(5);
    double best_exp = 7 + 3 / log2(3) + 1 / 2.0 + 1 / log2(5);

    (void)state;
    near("list", "HR", lcf_list_hit_rate(&l), 1);
    near("list", "recall", lcf_list_recall(&l), 0.4);
    near("list", "precision", lcf_list_precision(&l), 0.5);
    near("list", "MRR", lcf_list_mrr(&l), 0.5);
    near("list", "MAP", lcf_list_map(&l), (1 / 2.0 + 2 / 4.0) / 5);
    near("list", "NDCG", lcf_list_ndcg(&l), (2 / log2(3) + 1 / log2(5)) / best);
    near("list", "NDCG exp", lcf_list_ndcg_exp(&l), (3 / log2(3) + 1 / log2(5)) / best_exp);
}

static int compare_f32(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

/* The heap against a sort, over all K. */
static void top_is_the_head_of_a_sort(void **state)
{
    enum { N = 40 };
    static const uint32_t users[N] = {0};
    static const uint8_t gains[N] = {0};
    float scores[N], sorted[N];
    uint32_t top[N];
    lcf_candidates c;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 3, 3);
    for (size_t i = 0; i < N; i++)
        scores[i] = sorted[i] = (float)lcf_rng_below(&rng, 12);
    qsort(sorted, N, sizeof(*sorted), compare_f32);
    assert_int_equal(lcf_candidates_init(&c, gains, users, N, 1, 1, NULL), LCF_OK);
    for (size_t k = 0; k <= N; k++) {
        assert_int_equal(lcf_candidates_top(top, &c, 0, scores, k), k);
        for (size_t i = 0; i < k; i++) {
            assert_true(scores[top[i]] == sorted[i]);
            if (i && sorted[i] == sorted[i - 1])
                assert_true(top[i] < top[i - 1]); /* the greater row first */
        }
    }
    lcf_candidates_dispose(&c);
}

/* Sessions of 200 users with 12 rows, 4 relevant: the arm that ranks better wins more of them, an
 * arm against itself wins as many as it loses, and one that is turned round wins as the other did.
 */
static void interleaving_finds_the_better_arm(void **state)
{
    enum { USERS = 200, EACH = 12, ROWS = USERS * EACH };
    static float good[ROWS], poor[ROWS];
    static uint8_t gains[ROWS];
    static uint32_t users[ROWS];
    static double preferences[3][USERS];
    const float *arms[3][2] = {{poor, good}, {good, poor}, {poor, poor}};
    lcf_interleaving result[3];
    lcf_candidates c;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 4, 4);
    for (size_t i = 0; i < ROWS; i++) {
        users[i] = (uint32_t)(i / EACH);
        gains[i] = i >= EACH && i % 3 == 0; /* user 0 has nothing relevant */
        good[i] = 0.6f * (float)gains[i] + lcf_rng_f32(&rng);
        poor[i] = 0.1f * (float)gains[i] + lcf_rng_f32(&rng);
    }
    assert_int_equal(lcf_candidates_init(&c, gains, users, ROWS, USERS, 5, NULL), LCF_OK);
    memset(preferences, 0, sizeof(preferences));
    for (size_t k = 0; k < 3; k++) {
        result[k] = (lcf_interleaving){.ties = 0};
        assert_int_equal(
            lcf_interleave_add(&result[k], preferences[k], &c, arms[k][0], arms[k][1], 1, 0, NULL),
            LCF_OK);
        lcf_interleave_finish(&result[k], preferences[k], &c, 1, 0.95);
        assert_int_equal(result[k].users_n, USERS - 1);
        near("sessions", "all", result[k].wins[0] + result[k].wins[1] + result[k].ties,
             (USERS - 1) * LCF_INTERLEAVE_SESSIONS);
    }
    assert_true(result[0].low > 0 && result[0].p < 0.001);
    assert_true(result[1].high < 0);
    assert_true(result[2].low < 0 && result[2].high > 0);
    lcf_candidates_dispose(&c);
}

static void failures(void **state)
{
    const uint8_t gains[] = {0, 31};
    const uint32_t users[] = {0, 0};
    const float scores[] = {0.1f, 0.2f};
    const lcf_list_items none = {NULL, 0, 0, NULL, 0, NULL, 0};
    lcf_candidates c;
    lcf_list_values v;
    lcf_status status = LCF_ENOMEM;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_candidates_init(&c, gains, users, 2, 1, 1, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "row 1 has gain 31"));
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 30);
        lcf_alloc_fail_at(n);
        status = lcf_candidates_init(&c, gains, users, 1, 1, 1, NULL);
        if (!status)
            status = lcf_lists_measure(&v, &c, scores, &none, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            lcf_list_values_dispose(&v);
        lcf_candidates_dispose(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_measures),
        cmocka_unit_test(what_is_not_known_is_not_measured),
        cmocka_unit_test(a_rank_list_by_hand),
        cmocka_unit_test(top_is_the_head_of_a_sort),
        cmocka_unit_test(interleaving_finds_the_better_arm),
        cmocka_unit_test(failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
