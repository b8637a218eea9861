/*
 * Next-item ranking: measures by hand, full ranking against counting, ranks files, and the
 * comparison of two runs against its definition.
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/data/ranks.h"
#include "offline/eval/full_rank.h"
#include "offline/eval/rank_measures.h"
#include "offline/eval/ranks_compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_measures(void **state)
{
    const uint32_t ranks[] = {1, 3, 11, 60};

    (void)state;
    assert_string_equal(lcf_rank_measure_name(LCF_RANK_HR5), "hr@5");
    assert_string_equal(lcf_rank_measure_name(LCF_RANK_MRR), "mrr");
    assert_float_equal(lcf_rank_mean(LCF_RANK_HR5, ranks, 4), 0.5, 1e-12);
    assert_float_equal(lcf_rank_mean(LCF_RANK_HR20, ranks, 4), 0.75, 1e-12);
    assert_float_equal(lcf_rank_mean(LCF_RANK_NDCG10, ranks, 4), (1 + 0.5) / 4, 1e-12);
    assert_float_equal(lcf_rank_mean(LCF_RANK_NDCG20, ranks, 4), (1.5 + 1 / log2(12)) / 4, 1e-12);
    assert_float_equal(lcf_rank_mean(LCF_RANK_MRR, ranks, 4),
                       (1 + 1.0 / 3 + 1.0 / 11 + 1.0 / 60) / 4, 1e-12);
    assert_float_equal(lcf_rank_value(LCF_RANK_HR10, 10), 1.0, 0);
    assert_float_equal(lcf_rank_value(LCF_RANK_HR10, 11), 0.0, 0);
    assert_true(isnan(lcf_rank_mean(LCF_RANK_HR10, ranks, 0)));
}

/* ---- full ranking ---- */

enum { ITEMS = 40, DIM = 5, ROWS = 12 };

static uint32_t naive_rank(const float *user, const float *items, const lcf_full_rank_row *row)
{
    double scores[ITEMS];
    uint32_t rank = 1;

    for (size_t i = 0; i < ITEMS; i++) {
        scores[i] = 0;
        for (size_t d = 0; d < DIM; d++)
            scores[i] += (double)user[d] * items[i * DIM + d];
    }
    for (size_t i = 1; i < ITEMS; i++) {
        bool seen = false;

        for (size_t j = 0; j < row->seen_n; j++)
            seen = seen || row->seen[j] == i;
        rank += i != row->target && !seen && scores[i] >= scores[row->target];
    }
    return rank;
}

static void test_full_rank(void **state)
{
    static float users[ROWS * DIM], items[ITEMS * DIM], scores[ROWS * ITEMS];
    const uint32_t seen[] = {3, 3, 17, 9, 0, ITEMS + 4};
    lcf_full_rank_row rows[ROWS];
    uint32_t ranks[ROWS];
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < ITEMS * DIM; i++)
        items[i] = (float)((int)lcf_rng_below(&rng, 5) - 2); /* whole numbers: many ties */
    for (size_t i = 0; i < ROWS * DIM; i++)
        users[i] = (float)((int)lcf_rng_below(&rng, 5) - 2);
    for (size_t i = 0; i < ROWS; i++)
        rows[i] =
            (lcf_full_rank_row){1 + (uint32_t)lcf_rng_below(&rng, ITEMS - 1), seen, i % 2 ? 6 : 0};
    rows[1].target = 3; /* seen, and a candidate all the same */
    assert_int_equal(lcf_full_rank(ranks, users, items, rows, ROWS, ITEMS, DIM, scores, &err),
                     LCF_OK);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(ranks[i], naive_rank(users + i * DIM, items, &rows[i]));
    /* A model that gives all items one score is worth nothing. */
    memset(users, 0, sizeof(users));
    assert_int_equal(lcf_full_rank(ranks, users, items, rows, 1, ITEMS, DIM, scores, &err), LCF_OK);
    assert_int_equal(ranks[0], ITEMS - 1);
    users[2] = NAN;
    assert_int_equal(lcf_full_rank(ranks, users, items, rows, 1, ITEMS, DIM, scores, &err),
                     LCF_EDIVERGED);
}

/* ---- runs ---- */

enum { RUN_ROWS = 60, RUN_SEEDS = 3, USERS = 20 };

typedef struct run {
    uint64_t row[RUN_ROWS], seeds[RUN_SEEDS];
    uint32_t user[RUN_ROWS], item[RUN_ROWS], ranks[RUN_SEEDS * RUN_ROWS];
    lcf_ranks value;
} run;

/* Ranks up to `worst`; users have 1 to several rows. */
static void make_run(run *r, uint64_t stream, uint32_t worst)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, stream);
    for (size_t i = 0; i < RUN_ROWS; i++) {
        r->row[i] = 3 * i + 100;
        r->user[i] = (uint32_t)(i * i % USERS + 7);
        r->item[i] = (uint32_t)(i % 50 + 1);
    }
    for (size_t s = 0; s < RUN_SEEDS; s++)
        r->seeds[s] = 2023 + s;
    for (size_t i = 0; i < RUN_SEEDS * RUN_ROWS; i++)
        r->ranks[i] = 1 + (uint32_t)lcf_rng_below(&rng, worst);
    r->value =
        (lcf_ranks){NULL, RUN_ROWS, RUN_SEEDS, 50, 1, r->row, r->user, r->item, r->seeds, r->ranks};
}

static const char *temp_path(void)
{
    static char path[64];

    snprintf(path, sizeof(path), "ranks-%d.lcf", (int)getpid());
    return path;
}

static void test_file(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_ranks read;
    run r;

    (void)state;
    make_run(&r, 0, 50);
    assert_int_equal(lcf_ranks_save(temp_path(), &r.value, NULL), LCF_OK);
    assert_int_equal(lcf_ranks_open(&read, temp_path(), NULL), LCF_OK);
    assert_int_equal(read.rows_n, RUN_ROWS);
    assert_int_equal(read.candidates_n, 50);
    assert_int_equal(read.seen_masked, 1);
    assert_memory_equal(read.ranks, r.ranks, sizeof(r.ranks));
    assert_memory_equal(read.user, r.user, sizeof(r.user));
    lcf_ranks_close(&read);
    r.ranks[70] = 51;
    assert_int_equal(lcf_ranks_save(temp_path(), &r.value, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "ranks[1, 10] is 51, not 1 to 50"));
    r.ranks[70] = 0;
    assert_int_equal(lcf_ranks_save(temp_path(), &r.value, NULL), LCF_EFORMAT);
    r.ranks[70] = 1;
    r.row[4] = r.row[3];
    assert_int_equal(lcf_ranks_save(temp_path(), &r.value, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "row[4]"));
    remove(temp_path());
}

/* The example of schemas/ranks.md; with LCF_WRITE_EXAMPLES set it is made again. */
static void test_example(void **state)
{
    const uint64_t row[] = {4, 9}, seeds[] = {1, 2};
    const uint32_t user[] = {1, 2}, item[] = {3, 1}, ranks[] = {1, 4, 2, 5};
    const lcf_ranks made = {NULL, 2, 2, 5, 1, row, user, item, seeds, ranks};
    const char *root = getenv("LCF_SOURCE_DIR");
    lcf_buf path = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_ranks read;

    (void)state;
    lcf_buf_printf(&path, "%s/schemas/examples/ranks.lcf", root ? root : ".");
    if (getenv("LCF_WRITE_EXAMPLES"))
        assert_int_equal(lcf_ranks_save(lcf_buf_text(&path), &made, NULL), LCF_OK);
    if (lcf_ranks_open(&read, lcf_buf_text(&path), &err))
        fail_msg("%s", err.text);
    assert_memory_equal(read.ranks, ranks, sizeof(ranks));
    lcf_ranks_close(&read);
    lcf_buf_dispose(&path);
}

static json_t *compare(const run *a, const run *b, const lcf_ranks_compare_options *options)
{
    lcf_err err = LCF_ERR_INIT;
    json_t *out;

    if (lcf_ranks_compare(&out, &a->value, &b->value, options, &err))
        fail_msg("%s", err.text);
    return out;
}

static double figure(const json_t *result, const char *measure, const char *name)
{
    return json_number_value(
        json_object_get(json_object_get(json_object_get(result, "measures"), measure), name));
}

/* Points are means over rows and seeds; the order of arms only changes signs. */
static void test_points(void **state)
{
    const lcf_ranks_compare_options options = {200, 1, false, 1};
    json_t *ab, *ba;
    double a_mean;
    run a, b;

    (void)state;
    make_run(&a, 1, 50);
    make_run(&b, 2, 20);
    ab = compare(&a, &b, &options);
    ba = compare(&b, &a, &options);
    a_mean = lcf_rank_mean(LCF_RANK_NDCG10, a.ranks, RUN_SEEDS * RUN_ROWS);
    assert_float_equal(figure(ab, "ndcg@10", "a"), a_mean, 1e-12);
    assert_float_equal(figure(ab, "ndcg@10", "b"),
                       lcf_rank_mean(LCF_RANK_NDCG10, b.ranks, RUN_SEEDS * RUN_ROWS), 1e-12);
    assert_float_equal(figure(ab, "hr@10", "difference"), -figure(ba, "hr@10", "difference"),
                       1e-12);
    assert_float_equal(figure(ab, "hr@10", "low"), -figure(ba, "hr@10", "high"), 1e-12);
    assert_true(figure(ab, "hr@10", "low") < figure(ab, "hr@10", "difference"));
    assert_true(figure(ab, "hr@10", "high") > figure(ab, "hr@10", "difference"));
    assert_true(figure(ab, "hr@10", "p") < 0.05); /* 20 ranks against 50: clearly better */
    assert_int_equal(json_integer_value(json_object_get(ab, "users")), 6);
    json_decref(ab);
    json_decref(ba);
}

/* One replicate by the definition: users and seeds drawn from stream r, in that order. */
static double naive_replicate(const run *a, const run *b, uint64_t seed, uint64_t r)
{
    uint32_t order[USERS + 8], users_n = 0, weights[USERS] = {0}, draws[RUN_SEEDS] = {0};
    double sum = 0, rows = 0;
    lcf_rng rng;

    memset(order, 0xff, sizeof(order));
    for (size_t i = 0; i < RUN_ROWS; i++)
        if (order[a->user[i]] == UINT32_MAX)
            order[a->user[i]] = users_n++;
    lcf_rng_seed(&rng, seed, r);
    for (uint32_t u = 0; u < users_n; u++)
        weights[lcf_rng_below(&rng, users_n)]++;
    for (size_t s = 0; s < RUN_SEEDS; s++)
        draws[lcf_rng_below(&rng, RUN_SEEDS)]++;
    for (size_t i = 0; i < RUN_ROWS; i++) {
        rows += weights[order[a->user[i]]];
        for (size_t s = 0; s < RUN_SEEDS; s++)
            sum += weights[order[a->user[i]]] * (double)draws[s] / RUN_SEEDS *
                   (lcf_rank_value(LCF_RANK_MRR, b->ranks[s * RUN_ROWS + i]) -
                    lcf_rank_value(LCF_RANK_MRR, a->ranks[s * RUN_ROWS + i]));
    }
    return sum / rows;
}

/* With one replicate the interval is that replicate. */
static void test_replicates(void **state)
{
    lcf_ranks_compare_options options = {1, 9, false, 1};
    json_t *result;
    run a, b;

    (void)state;
    make_run(&a, 1, 50);
    make_run(&b, 2, 30);
    result = compare(&a, &b, &options);
    assert_float_equal(figure(result, "mrr", "low"), naive_replicate(&a, &b, 9, 0), 1e-12);
    assert_float_equal(figure(result, "mrr", "high"), naive_replicate(&a, &b, 9, 0), 1e-12);
    json_decref(result);
}

/* The same at any number of threads; a run against itself has no difference. */
static void test_threads(void **state)
{
    lcf_ranks_compare_options options = {150, 1, false, 1};
    json_t *one, *three;
    run a, b;

    (void)state;
    make_run(&a, 1, 50);
    make_run(&b, 2, 30);
    one = compare(&a, &b, &options);
    options.threads = 3;
    three = compare(&a, &b, &options);
    assert_true(json_equal(one, three));
    json_decref(one);
    json_decref(three);
    one = compare(&a, &a, &options);
    assert_float_equal(figure(one, "ndcg@5", "low"), 0, 0);
    assert_float_equal(figure(one, "ndcg@5", "high"), 0, 0);
    json_decref(one);
}

static void test_not_comparable(void **state)
{
    const lcf_ranks_compare_options options = {10, 1, false, 1};
    lcf_err err = LCF_ERR_INIT;
    json_t *out;
    run a, b;

    (void)state;
    make_run(&a, 1, 50);
    make_run(&b, 2, 30);
    b.value.seen_masked = 0;
    assert_int_equal(lcf_ranks_compare(&out, &a.value, &b.value, &options, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "--rank-seen"));
    make_run(&b, 2, 30);
    b.item[7]++;
    assert_int_equal(lcf_ranks_compare(&out, &a.value, &b.value, &options, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "row 7"));
    b.value.rows_n--;
    assert_int_equal(lcf_ranks_compare(&out, &a.value, &b.value, &options, &err), LCF_EINVAL);
    assert_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures), cmocka_unit_test(test_full_rank),
        cmocka_unit_test(test_file),     cmocka_unit_test(test_example),
        cmocka_unit_test(test_points),   cmocka_unit_test(test_replicates),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_not_comparable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
