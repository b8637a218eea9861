/* Budgets, shards and ranks: what their texts mean, and that shards part the rows. */
#include "offline/recgen/budget.h"
#include "offline/recgen/ranks.h"
#include "offline/recgen/rows.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/test.h"

static void check_deadline(const char *zone, time_t now, const char *text, time_t want)
{
    lcf_err err = LCF_ERR_INIT;
    time_t got;

    setenv("TZ", zone, 1);
    tzset();
    assert_ok(lcf_deadline_parse(&got, text, now, &err), &err);
    assert_int_equal(got, want);
    unsetenv("TZ");
    tzset();
}

static void test_deadline(void **state)
{
    const time_t noon = 1700049600; /* 2023-11-15 12:00 UTC */

    (void)state;
    check_deadline("UTC", noon, "12:01", noon + 60);
    check_deadline("UTC", noon, "12:00", noon + 86400);
    check_deadline("UTC", noon, "05:00", noon + 17 * 3600);
    check_deadline("EST5", noon, "08:30", noon + 90 * 60); /* 07:00 there */
    /* the night of 2024-03-31 has one hour less in central Europe */
    check_deadline("CET-1CEST,M3.5.0,M10.5.0/3", 1711839600 /* 00:00 */, "05:00",
                   1711839600 + 4 * 3600);
}

static void test_deadline_refuses(void **state)
{
    static const char *const BAD[] = {"", "5:00", "24:00", "12:60", "12-00", "12:0x", "012:00"};

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        time_t out;
        assert_int_equal(lcf_deadline_parse(&out, BAD[i], 0, NULL), LCF_EUSAGE);
    }
}

static void test_bytes(void **state)
{
    static const char *const BAD[] = {"", "G", "-1", "1.5G", "5X", "99999999T", "1 G"};
    uint64_t n;

    (void)state;
    assert_int_equal(lcf_bytes_parse(&n, "1000", NULL), LCF_OK);
    assert_int_equal(n, 1000);
    assert_int_equal(lcf_bytes_parse(&n, "3K", NULL), LCF_OK);
    assert_int_equal(n, 3072);
    assert_int_equal(lcf_bytes_parse(&n, "20G", NULL), LCF_OK);
    assert_int_equal(n, (uint64_t)20 << 30);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_int_equal(lcf_bytes_parse(&n, BAD[i], NULL), LCF_EUSAGE);
}

static void test_reached(void **state)
{
    const lcf_budget none = {0, 0, 0, 0}, some = {3, 100, 0, 0};
    const lcf_budget over = {0, 0, 1, 0}, full = {0, 0, 0, UINT64_MAX};

    (void)state;
    assert_null(lcf_budget_reached(&none, UINT64_MAX, UINT64_MAX, "/"));
    assert_null(lcf_budget_reached(&some, 2, 99, "/"));
    assert_string_equal(lcf_budget_reached(&some, 3, 0, "/"), "max-rows");
    assert_string_equal(lcf_budget_reached(&some, 0, 100, "/"), "max-total-tokens");
    assert_string_equal(lcf_budget_reached(&over, 0, 0, "/"), "deadline");
    assert_string_equal(lcf_budget_reached(&full, 0, 0, "/"), "min-free-disk");
}

/* Every row is in one shard; a shard of fewer rows is a part of the shard of more. */
static void test_shards(void **state)
{
    const lcf_row_source source = {"p", "m", "s"};
    lcf_row_choice choice = {.share = 0.8, .seed = 3};
    char *dir = lcf_fixture_dir();
    lcf_err err = LCF_ERR_INIT;
    lcf_chosen_rows all = {NULL, 0, 0};
    size_t *seen;
    lcf_dataset d;

    (void)state;
    assert_ok(lcf_fixture_write_dataset(dir, NULL, &err), &err);
    assert_ok(lcf_dataset_open(&d, dir, &err), &err);
    assert_ok(lcf_rows_choose(&all, &d, &choice, &source, &err), &err);
    assert_true(all.n > 20);
    seen = calloc(d.samples_n, sizeof(*seen));
    for (size_t i = 0; i < all.n; i++)
        seen[all.rows[i].sample]++;
    for (choice.shards_n = 5, choice.shard = 1; choice.shard <= 5; choice.shard++) {
        lcf_chosen_rows part = {NULL, 0, 0};
        assert_ok(lcf_rows_choose(&part, &d, &choice, &source, &err), &err);
        assert_true(part.n < all.n);
        for (size_t i = 0; i < part.n; i++)
            assert_int_equal(seen[part.rows[i].sample]++, 1);
        lcf_chosen_rows_dispose(&part);
    }
    for (size_t i = 0; i < all.n; i++)
        assert_int_equal(seen[all.rows[i].sample], 2);
    choice.shard = 6;
    assert_int_equal(lcf_rows_choose(&all, &d, &choice, &source, NULL), LCF_EUSAGE);
    free(seen);
    lcf_chosen_rows_dispose(&all);
    lcf_dataset_close(&d);
    lcf_dir_remove(dir, NULL);
    free(dir);
}

/* A key of parts of any length, which do not run into one another. */
static void test_long_keys(void **state)
{
    lcf_hash128 sample = {{1}}, a, b;
    char text[3000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    a = lcf_cot_key(sample, "p", text, "s");
    b = lcf_cot_key(sample, "p", text + 1, "s");
    assert_memory_not_equal(&a, &b, 16);
    b = lcf_cot_key(sample, "p", text, "s");
    assert_memory_equal(&a, &b, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline), cmocka_unit_test(test_deadline_refuses),
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_reached),
        cmocka_unit_test(test_shards),   cmocka_unit_test(test_long_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
