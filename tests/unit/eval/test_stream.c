/*
 * Streams against the comparison in memory: exact where they say exact, within the bound where they
 * say bound; the external sort against one in memory; AUC without a group against that of the rows
 * that are left.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/eval/auc.h"
#include "offline/eval/score_files.h"
#include "offline/eval/score_order.h"
#include "offline/eval/stream/auc_groups.h"
#include "offline/eval/stream/extsort.h"
#include "offline/eval/stream/stream.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 3000, USERS = 400 };

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9))
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
}

/* Two files of the same rows; scores of B are better, and rounded so that some are equal. */
static void write_files(void)
{
    lcf_buf a = LCF_BUF_INIT, b = LCF_BUF_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, 31, 0);
    lcf_buf_append_text(&a, "key,user,label,score\n");
    lcf_buf_append_text(&b, "score,key,user,label\n");
    for (size_t i = 0; i < ROWS; i++) {
        size_t user = lcf_rng_below(&rng, USERS);
        int label = lcf_rng_below(&rng, 3) == 0;
        lcf_buf_printf(&a, "k%zu,u%zu,%d,%.4f\n", i, user, label,
                       0.1 * label + 0.8 * lcf_rng_f64(&rng));
        lcf_buf_printf(&b, "%.2f,k%zu,u%zu,%d\n", 0.3 * label + 0.7 * lcf_rng_f64(&rng), i, user,
                       label);
    }
    assert_int_equal(lcf_file_write("stream_a.csv", a.data, a.len, NULL), LCF_OK);
    assert_int_equal(lcf_file_write("stream_b.csv", b.data, b.len, NULL), LCF_OK);
    lcf_buf_dispose(&a);
    lcf_buf_dispose(&b);
}

static lcf_comparison in_memory(void)
{
    const lcf_table_allow nothing = {.unmatched = false};
    lcf_compare_options options = LCF_COMPARE_OPTIONS_INIT;
    lcf_eval_table t;
    lcf_comparison c;
    lcf_pool *pool;

    options.permutations_n = 0;
    assert_int_equal(lcf_score_files_table(&t, "stream_a.csv", "stream_b.csv", &nothing, NULL),
                     LCF_OK);
    assert_int_equal(lcf_pool_create(&pool, 1, NULL), LCF_OK);
    assert_int_equal(lcf_compare(&c, &t, NULL, pool, &options, NULL), LCF_OK);
    lcf_pool_free(pool);
    lcf_eval_table_dispose(&t);
    return c;
}

static lcf_comparison streamed(lcf_stream_method method, size_t pairs_max)
{
    const lcf_stream_options options = {method, false, pairs_max};
    lcf_comparison c;
    lcf_err err = LCF_ERR_INIT;

    if (lcf_stream_compare(&c, "stream_a.csv", "stream_b.csv", &options, &err))
        fail_msg("%s", err.text);
    return c;
}

static void same_figures(const lcf_comparison *got, const lcf_comparison *want,
                         const lcf_metric *metrics, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const lcf_measure *x = &got->measures[metrics[i]], *y = &want->measures[metrics[i]];
        for (size_t a = 0; a < LCF_ARMS; a++)
            near(LCF_METRIC_INFO[metrics[i]].name, x->arm[a].value, y->arm[a].value);
        /* two honest standard errors of the same lift: bootstrap and jackknife over users */
        if (!(x->se > 0.6 * y->se && x->se < 1.6 * y->se))
            fail_msg("%s: se %g, the bootstrap's is %g", LCF_METRIC_INFO[metrics[i]].name, x->se,
                     y->se);
        assert_true(x->lift.low < x->lift.value && x->lift.value < x->lift.high);
    }
    assert_int_equal(got->rows_n, want->rows_n);
    assert_int_equal(got->positives_n, want->positives_n);
    near("bias", lcf_calibration_bias(&got->calibration[1]),
         lcf_calibration_bias(&want->calibration[1]));
}

static void a_sort_is_exact(void **state)
{
    static const lcf_metric ALL[] = {
        LCF_METRIC_AUC,           LCF_METRIC_LOGLOSS, LCF_METRIC_NE,
        LCF_METRIC_BRIER,         LCF_METRIC_UAUC,    LCF_METRIC_GAUC_IMPRESSIONS,
        LCF_METRIC_GAUC_POSITIVES};
    lcf_comparison want, got;

    (void)state;
    write_files();
    want = in_memory();
    for (size_t pairs_max = 250; pairs_max <= 5000; pairs_max += 4750) { /* spilled, and not */
        got = streamed(LCF_STREAM_SORT, pairs_max);
        same_figures(&got, &want, ALL, sizeof(ALL) / sizeof(ALL[0]));
        near("ECE", got.measures[LCF_METRIC_ECE].arm[1].value,
             want.measures[LCF_METRIC_ECE].arm[1].value);
        assert_int_equal(got.users_n, want.users_n);
        assert_int_equal(got.users_both_n, want.users_both_n);
        assert_true(got.auc_bound[0] == 0);
        lcf_comparison_dispose(&got);
    }
    lcf_comparison_dispose(&want);
}

static void a_sketch_keeps_its_bound(void **state)
{
    static const lcf_metric EXACT[] = {LCF_METRIC_LOGLOSS, LCF_METRIC_NE, LCF_METRIC_BRIER};
    lcf_comparison want, got;

    (void)state;
    write_files();
    want = in_memory();
    got = streamed(LCF_STREAM_SKETCH, 0);
    same_figures(&got, &want, EXACT, 3);
    for (size_t a = 0; a < LCF_ARMS; a++) {
        double error = fabs(got.measures[LCF_METRIC_AUC].arm[a].value -
                            want.measures[LCF_METRIC_AUC].arm[a].value);
        assert_true(got.auc_bound[a] > 0 && got.auc_bound[a] < 0.01);
        assert_true(error <= got.auc_bound[a]);
    }
    assert_true(isnan(got.measures[LCF_METRIC_UAUC].lift.value));
    assert_true(isnan(got.roc[1][0]) && isnan(got.pr[1][0])); /* curves need the rows */
    lcf_comparison_dispose(&got);
    lcf_comparison_dispose(&want);
}

static void expect_refused(const char *b, const char *what)
{
    const lcf_stream_options options = {LCF_STREAM_SKETCH, false, 0};
    static const char a[] = "key,user,label,score\nx,u,0,.1\ny,u,1,.2\n";
    lcf_comparison c;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_file_write("short_a.csv", a, strlen(a), NULL), LCF_OK);
    assert_int_equal(lcf_file_write("short_b.csv", b, strlen(b), NULL), LCF_OK);
    if (!lcf_stream_compare(&c, "short_a.csv", "short_b.csv", &options, &err))
        fail_msg("taken, where '%s' was expected", what);
    if (!strstr(err.text, what))
        fail_msg("'%s' does not say '%s'", err.text, what);
}

static void rows_must_be_in_step(void **state)
{
    (void)state;
    expect_refused("key,user,label,score\nx,u,0,.1\nz,u,1,.2\n",
                   "short_a.csv:3 and short_b.csv:3 have another key");
    expect_refused("key,user,label,score\nx,v,0,.1\ny,u,1,.2\n", "have another user");
    expect_refused("key,user,label,score\nx,u,1,.1\ny,u,1,.2\n", "have another label");
    expect_refused("key,user,label,score\nx,u,0,.1\n", "short_a.csv goes on at line 3");
    expect_refused("key,user,label,score\nx,u,0,nan\ny,u,1,.2\n",
                   "short_b.csv:2: the score is nan");
    expect_refused("key,user,label,score,score_2\nx,u,0,0,0\n", "one score column");
}

static void the_external_sort_sorts(void **state)
{
    enum { N = 5000 };
    lcf_extsort *s;
    lcf_pair pair, last = {0, 0};
    lcf_rng rng;
    bool more;
    uint64_t sum = 0;

    (void)state;
    lcf_rng_seed(&rng, 1, 1);
    assert_int_equal(lcf_extsort_create(&s, 333, NULL), LCF_OK);
    for (uint64_t i = 0; i < N; i++) {
        uint64_t key = lcf_rng_below(&rng, 700) << 50 | lcf_rng_below(&rng, 3);
        sum += key;
        assert_int_equal(lcf_extsort_add(s, key, i, NULL), LCF_OK);
    }
    assert_int_equal(lcf_extsort_rewind(s, NULL), LCF_OK);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(lcf_extsort_next(&more, &pair, s, NULL), LCF_OK);
        assert_true(more);
        assert_true(pair.key > last.key ||
                    (pair.key == last.key && (!i || pair.value > last.value)));
        sum -= pair.key;
        last = pair;
    }
    assert_int_equal(lcf_extsort_next(&more, &pair, s, NULL), LCF_OK);
    assert_false(more);
    assert_int_equal(sum, 0);
    lcf_extsort_free(s);
}

static void auc_without_a_group(void **state)
{
    enum { N = 900 };
    static float scores[N], left[N];
    static uint8_t labels[N], left_labels[N];
    static uint64_t keys[2 * N];
    size_t group[N];
    lcf_auc_groups all = {.wins = 0};
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 2, 2);
    for (size_t i = 0; i < N; i++) {
        scores[i] = (float)lcf_rng_below(&rng, 40) / 40;
        labels[i] = lcf_rng_below(&rng, 2) == 1;
        group[i] = lcf_rng_below(&rng, LCF_STREAM_GROUPS);
        all.total[labels[i]]++;
        all.group_total[group[i]][labels[i]]++;
    }
    for (size_t level = 0; level < 40; level++) {
        uint64_t counts[LCF_STREAM_GROUPS][2] = {{0}};
        for (size_t i = 0; i < N; i++)
            if (scores[i] == (float)level / 40)
                counts[group[i]][labels[i]]++;
        lcf_auc_groups_add(&all, (const uint64_t(*)[2])counts);
    }
    near("AUC", lcf_auc_groups_value(&all), lcf_auc(scores, labels, N, keys));
    for (size_t g = 0; g < LCF_STREAM_GROUPS; g++) {
        size_t n = 0;
        for (size_t i = 0; i < N; i++)
            if (group[i] != g) {
                left[n] = scores[i];
                left_labels[n++] = labels[i];
            }
        near("AUC without a group", lcf_auc_groups_without(&all, g),
             lcf_auc(left, left_labels, n, keys));
    }
}

static void survives_failed_allocations(void **state)
{
    const lcf_stream_options options = {LCF_STREAM_SORT, false, 100};
    lcf_status status = LCF_ENOMEM;
    lcf_comparison c;

    (void)state;
    write_files();
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 400);
        lcf_alloc_fail_at(n);
        status = lcf_stream_compare(&c, "stream_a.csv", "stream_b.csv", &options, NULL);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    lcf_comparison_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sort_is_exact),      cmocka_unit_test(a_sketch_keeps_its_bound),
        cmocka_unit_test(rows_must_be_in_step), cmocka_unit_test(the_external_sort_sorts),
        cmocka_unit_test(auc_without_a_group),  cmocka_unit_test(survives_failed_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
