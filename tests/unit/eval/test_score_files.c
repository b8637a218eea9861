/*
 * Plain files of scores: the golden example, rows in another order, what is refused with its line,
 * and what may be allowed.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/eval/score_files.h"
#include "offline/eval/score_rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const lcf_table_allow NOTHING = {.unmatched = false};

#define HEADER "key,user,label,score\n"
#define GOOD HEADER "a,u,0,.1\nb,u,1,.2\nc,v,1,.3\nd,v,0,.4\n"

static void put(const char *path, const char *text)
{
    assert_int_equal(lcf_file_write(path, text, strlen(text), NULL), LCF_OK);
}

static void expect_refused(const lcf_table_allow *allow, const char *a, const char *b,
                           const char *what)
{
    lcf_eval_table t;
    lcf_err err = LCF_ERR_INIT;

    put("a.csv", a);
    put("b.csv", b);
    if (!lcf_score_files_table(&t, "a.csv", "b.csv", allow, &err))
        fail_msg("taken, where '%s' was expected", what);
    if (!strstr(err.text, what))
        fail_msg("'%s' does not say '%s'", err.text, what);
}

static lcf_eval_table expect_taken(const lcf_table_allow *allow, const char *a, const char *b)
{
    lcf_eval_table t;
    lcf_err err = LCF_ERR_INIT;

    put("a.csv", a);
    put("b.csv", b);
    if (lcf_score_files_table(&t, "a.csv", "b.csv", allow, &err))
        fail_msg("%s", err.text);
    return t;
}

static void the_example_is_read(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096];
    lcf_eval_table t;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof(path), "%s/schemas/examples/scores.csv", source);
    if (lcf_score_files_table(&t, path, path, &NOTHING, &err))
        fail_msg("%s", err.text);
    assert_int_equal(t.rows_n, 5);
    assert_int_equal(t.users_n, 2);
    assert_int_equal(t.seeds_n[0], 2);
    assert_int_equal(t.seeds[1][1], 2);
    assert_int_equal(t.gain[0], 3);
    assert_int_equal(t.items.items_n, 5); /* with the unknown */
    assert_int_equal(t.items.of_row[3], t.items.of_row[0]);
    assert_true(lcf_eval_table_run(&t, 1, 1)[4] == 0.77f);
    lcf_eval_table_dispose(&t);
}

static void rows_are_matched_by_key(void **state)
{
    lcf_eval_table t = expect_taken(&NOTHING, GOOD,
                                    "score,label,extra,user,key\n.9,0,,v,d\n.8,1,x,v,c\n"
                                    ".7,1,\"y,z\",u,b\r\n\n.6,0,,u,a");

    (void)state;
    assert_int_equal(t.rows_n, 4);
    assert_int_equal(t.positives_n, 2);
    for (size_t i = 0; i < 4; i++) {
        assert_true(lcf_eval_table_run(&t, 0, 0)[i] == 0.1f * (float)(i + 1) ||
                    fabsf(lcf_eval_table_run(&t, 0, 0)[i] - 0.1f * (float)(i + 1)) < 1e-7f);
        assert_true(fabsf(lcf_eval_table_run(&t, 1, 0)[i] - 0.6f - 0.1f * (float)i) < 1e-6f);
        assert_int_equal(t.user[i], i / 2);
    }
    lcf_eval_table_dispose(&t);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_refused(&NOTHING, "", GOOD, "a.csv: no column 'key'");
    expect_refused(&NOTHING, "key,user,label\n", GOOD, "a.csv: no column 'score'");
    expect_refused(&NOTHING, "key,key,user,label,score\n", GOOD, "two columns 'key'");
    expect_refused(&NOTHING, "key,user,label,score,score_1\n", GOOD, "two score columns of seed 1");
    expect_refused(&NOTHING, GOOD "e,v,0\n", GOOD, "a.csv:6: 3 fields, the header has 4");
    expect_refused(&NOTHING, GOOD "e,v,2,.5\n", GOOD, "a.csv:6: the label '2'");
    expect_refused(&NOTHING, GOOD "e,v,0,x\n", GOOD, "a.csv:6: the score 'x' is not a number");
    expect_refused(&NOTHING, GOOD ",v,0,.5\n", GOOD, "a.csv:6: the key is empty");
    expect_refused(&NOTHING, GOOD "e,,0,.5\n", GOOD, "a.csv:6: the user is empty");
    expect_refused(&NOTHING, GOOD "e,v,0,nan\n", GOOD, "a.csv:6: key 'e' has the score nan");
    expect_refused(&NOTHING, GOOD "e,v,0,1.5\n", GOOD, "not a probability; --allow any-score");
    expect_refused(&NOTHING, GOOD "a,u,0,.5\n", GOOD, "a.csv:6: key 'a' was there before");
    expect_refused(&NOTHING, GOOD "e,v,0,.5\n", GOOD, "a.csv:6: key 'e' is not in b.csv");
    expect_refused(&NOTHING, GOOD, GOOD "e,v,0,.5\n", "b.csv:6: key 'e' is not in a.csv");
    expect_refused(&NOTHING, GOOD, HEADER "a,u,0,.1\nb,v,1,.2\nc,v,1,.3\nd,v,0,.4\n",
                   "key 'b' has another user in b.csv:3 than in a.csv:3");
    expect_refused(&NOTHING, GOOD, HEADER "a,u,0,.1\nb,u,1,.2\nc,v,0,.3\nd,v,0,.4\n",
                   "key 'c' has another label in b.csv:4 than in a.csv:4");
    expect_refused(&NOTHING, HEADER "a,u,1,.1\n", HEADER "a,u,1,.1\n", "have label 1");
    expect_refused(&NOTHING, HEADER, HEADER, "hold no row");
}

static void what_is_allowed_is_counted(void **state)
{
    const lcf_table_allow all = {true, true, true, false, false}, one = {.one_class = true},
                          any = {.any_score = true};
    lcf_eval_table t;

    (void)state;
    t = expect_taken(&all, GOOD "a,u,1,.9\ne,v,0,nan\nf,v,0,.5\nh,v,1,\n",
                     GOOD "e,v,0,.5\ng,v,0,.5\ni,v,0,.5\n");
    assert_int_equal(t.rows_n, 4);
    assert_int_equal(t.dropped.duplicates_n, 1);
    assert_int_equal(t.dropped.nan_n, 2);
    assert_int_equal(t.dropped.unmatched_n[0], 1); /* f; e and h went as NaN */
    assert_int_equal(t.dropped.unmatched_n[1], 2);
    assert_true(lcf_eval_table_run(&t, 0, 0)[0] == 0.1f); /* the first of the two */
    lcf_eval_table_dispose(&t);
    t = expect_taken(&one, HEADER "a,u,1,.1\n", HEADER "a,u,1,.1\n");
    assert_int_equal(t.positives_n, 1);
    lcf_eval_table_dispose(&t);
    t = expect_taken(&any, HEADER "a,u,1,-7\nb,u,0,12.5\n", HEADER "a,u,1,3\nb,u,0,1e9\n");
    assert_true(t.orders_only);
    assert_true(lcf_eval_table_run(&t, 0, 0)[0] == -7);
    lcf_eval_table_dispose(&t);
}

static void longer_than_a_piece(void **state)
{
    enum { ROWS = 300000 };
    lcf_buf text = LCF_BUF_INIT;
    lcf_score_rows *rows;
    lcf_score_row row;
    bool more;
    size_t n = 0;

    (void)state;
    lcf_buf_append_text(&text, HEADER);
    for (size_t i = 0; i < ROWS; i++)
        lcf_buf_printf(&text, "key-%zu,user-%zu,%zu,.%zu\n", i, i / 7, i % 2, i % 1000);
    assert_int_equal(lcf_file_write("long.csv", text.data, text.len, NULL), LCF_OK);
    assert_int_equal(lcf_score_rows_open(&rows, "long.csv", NULL), LCF_OK);
    for (;; n++) {
        char key[32];
        assert_int_equal(lcf_score_rows_next(&more, &row, rows, NULL), LCF_OK);
        if (!more)
            break;
        assert_int_equal(row.line, n + 2);
        snprintf(key, sizeof(key), "key-%zu", n);
        assert_int_equal(row.key.len, strlen(key));
        assert_memory_equal(row.key.data, key, row.key.len);
        assert_int_equal(row.label, n % 2);
    }
    assert_int_equal(n, ROWS);
    lcf_score_rows_close(rows);
    lcf_buf_dispose(&text);
}

static void survives_failed_allocations(void **state)
{
    lcf_status status = LCF_ENOMEM;
    lcf_eval_table t;

    (void)state;
    put("a.csv", GOOD);
    put("b.csv", GOOD);
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 300);
        lcf_alloc_fail_at(n);
        status = lcf_score_files_table(&t, "a.csv", "b.csv", &NOTHING, NULL);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    lcf_eval_table_dispose(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_is_read),    cmocka_unit_test(rows_are_matched_by_key),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(what_is_allowed_is_counted),
        cmocka_unit_test(longer_than_a_piece),    cmocka_unit_test(survives_failed_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
