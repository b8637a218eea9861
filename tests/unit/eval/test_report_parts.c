/* What a report is made of beside the comparison: curves, drift, latency, tables, charts, quoting.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "offline/eval/background.h"
#include "offline/eval/charts.h"
#include "offline/eval/drift.h"
#include "offline/eval/grid.h"
#include "offline/eval/latency.h"
#include "offline/eval/pr_curve.h"
#include "offline/eval/score_order.h"
#include "offline/eval/sources.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- precision and recall ---- */

static void pr_of(double *precision, const float *scores, const uint8_t *labels, size_t n)
{
    uint64_t order[8], scratch[8];

    lcf_score_order(order, scores, n, scratch);
    lcf_pr_grid(precision, order, labels, n);
}

static void precision_by_hand(void **state)
{
    static const uint8_t labels[] = {1, 0, 1, 0}, none[] = {0, 0, 0, 0};
    double precision[LCF_PR_POINTS];

    (void)state;
    /* thresholds .9, .8, .7: half of the positives at precision 1, all of them at 2/3 */
    pr_of(precision, (const float[]){.9f, .8f, .7f, .1f}, labels, 4);
    for (size_t i = 0; i < LCF_PR_POINTS; i++)
        assert_true(precision[i] == (i <= 25 ? 1.0 : 2.0 / 3));
    pr_of(precision, (const float[]){.5f, .5f, .5f, .5f}, labels, 4); /* one threshold */
    for (size_t i = 0; i < LCF_PR_POINTS; i++)
        assert_true(precision[i] == 0.5);
    /* the highest score is a negative: recall 0 is read at the first positive */
    pr_of(precision, (const float[]){.1f, .9f, .8f, .2f}, labels, 4);
    assert_true(precision[0] == 0.5 && precision[25] == 0.5 && precision[50] == 0.5);
    pr_of(precision, (const float[]){.1f, .2f, .3f, .4f}, none, 4);
    assert_true(isnan(precision[0]) && isnan(precision[50]));
}

/* ---- drift ---- */

static double psi_of(const float *before, size_t before_n, const float *after, size_t after_n)
{
    lcf_score_sample a, b;
    double psi;

    assert_int_equal(lcf_score_sample_init(&a, before, before_n, NULL), LCF_OK);
    assert_int_equal(lcf_score_sample_init(&b, after, after_n, NULL), LCF_OK);
    psi = lcf_psi(&a, &b);
    lcf_score_sample_dispose(&a);
    lcf_score_sample_dispose(&b);
    return psi;
}

static void psi_by_hand(void **state)
{
    static const float ten[] = {.05f, .15f, .25f, .35f, .45f, .55f, .65f, .75f, .85f, .95f};
    static const float moved[] = {.05f, .05f, .25f, .35f, .45f, .55f, .65f, .75f, .85f, .95f};
    static const float same[] = {.5f, .5f, .5f, .5f, .5f}, split[] = {.5f, .5f, .5f, .5f, .9f};

    (void)state;
    assert_true(psi_of(ten, 10, ten, 10) == 0);
    /* the second decile's tenth moved to the first: (.2 - .1) ln 2 + (1e-4 - .1) ln(1e-4 / .1) */
    assert_true(fabs(psi_of(ten, 10, moved, 10) - 0.75939942) < 1e-7);
    assert_true(psi_of(same, 5, same, 5) == 0);
    /* one value makes one decile: (.8 - 1) ln .8 + (.2 - 1e-4) ln(.2 / 1e-4) */
    assert_true(fabs(psi_of(same, 5, split, 5) - 1.56404914) < 1e-7);
    assert_true(isnan(psi_of(same, 5, NULL, 0)));
}

static void scores_are_checked_and_binned(void **state)
{
    static const float scores[] = {0, .049f, .05f, .5f, 1};
    lcf_score_sample s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_score_sample_init(&s, scores, 5, NULL), LCF_OK);
    assert_true(s.bins[0] == 0.4 && s.bins[1] == 0.2 && s.bins[10] == 0.2 && s.bins[19] == 0.2);
    assert_true(fabs(s.mean - 0.3198) < 1e-6);
    assert_true(fabs(s.std - 0.43114406) < 1e-6);
    lcf_score_sample_dispose(&s);
    assert_int_equal(lcf_score_sample_init(&s, (const float[]){.5f, NAN}, 2, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "score 1 is nan"));
    err = (lcf_err)LCF_ERR_INIT;
    assert_int_equal(lcf_score_sample_init(&s, (const float[]){1.5f}, 1, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "score 0 is 1.5"));
}

/* ---- latency ---- */

#define ANSWER(total)                                                                       \
    "{\"results\": [{}, {}], \"timings\": {\"total_ms\": " total ", \"retrieve_ms\": 0.5, " \
    "\"score_ms\": 0.25}}\n"

static lcf_status latency_of(lcf_latency *out, const char *text, lcf_err *err)
{
    assert_int_equal(lcf_file_write("answers.jsonl", text, strlen(text), NULL), LCF_OK);
    return lcf_latency_read(out, "answers.jsonl", err);
}

static void latency_by_hand(void **state)
{
    static const char text[] = ANSWER("4") "\n" ANSWER(
        "1") "{\"error\": {\"status\": \"malformed input\", \"reason\": \"x\"}}\n" ANSWER("3")
        ANSWER("2");
    lcf_latency l;

    (void)state;
    assert_int_equal(latency_of(&l, text, NULL), LCF_OK);
    assert_true(l.known);
    assert_int_equal(l.answers_n, 4);
    assert_int_equal(l.errors_n, 1);
    assert_int_equal(l.degraded_n, 0);
    assert_true(l.candidates_mean == 2 && l.mean_ms == 2.5 && l.max_ms == 4);
    assert_true(l.total_ms[0] == 1 && l.total_ms[50] == 2.5 && l.total_ms[100] == 4);
    assert_true(fabs(l.total_ms[99] - 3.97) < 1e-12);
    assert_true(l.retrieve_ms[50] == 0.5 && l.score_ms[99] == 0.25);
}

static void answers_that_are_none_are_named(void **state)
{
    static const struct {
        const char *text, *want;
    } bad[] = {
        {ANSWER("1") "{\"results\": []}\n", "answers.jsonl:2: no 'timings'"},
        {ANSWER("1") ANSWER("1") "{\"timings\": {\"total_ms\": 1}}", "answers.jsonl:3: "},
        {ANSWER("-1"), "answers.jsonl:1: 'total_ms' is negative"},
        {ANSWER("1e999"), "answers.jsonl:1"},
        {ANSWER("1") "not json\n", "answers.jsonl:2"},
        {"[1]\n", "answers.jsonl:1: no 'timings'"},
        {"", "answers.jsonl: no line is an answer"},
    };
    lcf_latency l;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        lcf_err err = LCF_ERR_INIT;
        assert_int_equal(latency_of(&l, bad[i].text, &err), LCF_EFORMAT);
        if (!strstr(err.text, bad[i].want))
            fail_msg("no '%s' in '%s'", bad[i].want, err.text);
        assert_false(l.known);
    }
    assert_int_equal(lcf_latency_read(&l, "nowhere.jsonl", NULL), LCF_ENOENT);
}

static void readers_survive_failed_allocations(void **state)
{
    static const float scores[] = {.1f, .2f};
    lcf_status status = LCF_ENOMEM;
    lcf_score_sample s;
    lcf_latency l;

    (void)state;
    assert_int_equal(latency_of(&l, ANSWER("1") ANSWER("2"), NULL), LCF_OK);
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 50);
        lcf_alloc_fail_at(n);
        status = lcf_latency_read(&l, "answers.jsonl", NULL);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    lcf_alloc_fail_at(1);
    assert_int_equal(lcf_score_sample_init(&s, scores, 2, NULL), LCF_ENOMEM);
    lcf_alloc_fail_at(0);
}

/* ---- tables, charts, texts ---- */

static void cells_are_cut_at_characters_and_escaped(void **state)
{
    static const char *const NAMES[] = {"a|b", "<c>"};
    lcf_buf md = LCF_BUF_INIT, html = LCF_BUF_INIT, csv = LCF_BUF_INIT;
    char text[LCF_CELL_MAX + 8];
    lcf_grid g;

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + LCF_CELL_MAX - 2, "é and more", 4);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(lcf_grid_create(&g, 2, 2, NAMES), LCF_OK);
    lcf_grid_put(&g, 1, 0, "%s", text);
    lcf_grid_signed(&g, 1, 1, 2, 0.5);
    assert_int_equal(strlen(lcf_grid_cell(&g, 1, 0)), LCF_CELL_MAX - 2); /* not half of the é */
    assert_string_equal(lcf_grid_cell(&g, 1, 1), "+0.50");
    lcf_grid_signed(&g, 1, 1, 2, -0.004);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), "+0.00");
    lcf_grid_number(&g, 1, 1, 2, NAN);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), LCF_CELL_UNDEFINED);
    lcf_grid_interval(&g, 1, 1, -1, 1);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), "-1.0000 to +1.0000");
    lcf_grid_p(&g, 1, 1, 1e-9);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), "< 0.0001");
    lcf_grid_p(&g, 1, 1, 0.01234);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), "0.0123");
    lcf_grid_p(&g, 1, 1, NAN);
    assert_string_equal(lcf_grid_cell(&g, 1, 1), LCF_CELL_UNDEFINED);
    lcf_grid_markdown(&md, &g);
    assert_non_null(strstr(md.data, "| a\\|b | <c> |\n|---|---:|\n"));
    lcf_grid_html(&html, &g);
    assert_non_null(strstr(html.data, "<th>&lt;c&gt;</th>"));
    lcf_csv_cell(&csv, "a \"b\", c");
    assert_string_equal(csv.data, "\"a \"\"b\"\", c\"");
    lcf_grid_dispose(&g);
    lcf_buf_dispose(&md);
    lcf_buf_dispose(&html);
    lcf_buf_dispose(&csv);
}

static void axes_hold_what_is_drawn(void **state)
{
    lcf_axis axis = {"y", NAN, NAN};

    (void)state;
    lcf_axis_hold(&axis, (const double[]){3, NAN, 5}, 3);
    assert_true(axis.low == 3 && axis.high == 5);
    lcf_axis_ease(&axis);
    assert_true(axis.low == 2.9 && axis.high == 5.1);
    axis = (lcf_axis){"y", NAN, NAN};
    lcf_axis_ease(&axis); /* nothing to hold: still a scale of some width */
    assert_true(axis.low < axis.high);
    axis = (lcf_axis){"y", 2, 2};
    lcf_axis_ease(&axis);
    assert_true(axis.low < 2 && axis.high > 2);
}

static void forest_mirrors_what_is_better_when_lower(void **state)
{
    static const lcf_forest FOREST = {"t", 2, false, 0, true};
    static const lcf_forest_row rows[] = {
        {.name = "<up>", .value = 1, .low = 0.5, .high = 1.5},
        {.name = "down", .value = -1, .low = -1.5, .high = -0.5, .flipped = true},
        {.name = "none", .value = 1, .low = NAN, .high = NAN}};
    lcf_buf out = LCF_BUF_INIT;
    const char *up, *down;
    double x[2];

    (void)state;
    lcf_forest_draw(&out, &FOREST, rows, 3);
    up = strstr(out.data, "<circle");
    assert_non_null(up);
    down = strstr(up + 1, "<circle");
    assert_non_null(down);
    assert_null(strstr(down + 1, "<circle")); /* no interval: no dot */
    assert_true(
        lcf_parse_f64(strstr(up, "cx=\"") + 4, strcspn(strstr(up, "cx=\"") + 4, "\""), &x[0]));
    assert_true(
        lcf_parse_f64(strstr(down, "cx=\"") + 4, strcspn(strstr(down, "cx=\"") + 4, "\""), &x[1]));
    assert_true(x[0] == x[1]); /* a fall of one is as good as a rise of one */
    assert_non_null(strstr(out.data, "&lt;up&gt;"));
    assert_non_null(strstr(out.data, "no interval"));
    assert_non_null(strstr(out.data, "-1.00  [-1.50, -0.50]"));
    lcf_buf_dispose(&out);
}

static void labels_are_cut_to_their_room(void **state)
{
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    lcf_svg_text_within(&out, "", "start", 0, 0, "fits & stays", 100);
    assert_non_null(strstr(out.data, ">fits &amp; stays</text>"));
    lcf_buf_reset(&out);
    lcf_svg_text_within(&out, "", "start", 0, 0, "does <not> fit", 80);
    assert_non_null(strstr(out.data, "<title>does &lt;not&gt; fit</title>does &lt;not…</text>"));
    lcf_buf_reset(&out);
    lcf_svg_text_within(&out, "", "start", 0, 0, "長い名前",
                        45); /* wide, and cut between characters */
    assert_non_null(strstr(out.data, "</title>長い…</text>"));
    lcf_buf_dispose(&out);
}

static void shells_read_back_what_was_quoted(void **state)
{
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    lcf_shell_quote(&out, "work/a-b_1.lcf");
    lcf_buf_append_char(&out, ' ');
    lcf_shell_quote(&out, "auc_lift > 0");
    lcf_buf_append_char(&out, ' ');
    lcf_shell_quote(&out, "it's $HOME");
    lcf_buf_append_char(&out, ' ');
    lcf_shell_quote(&out, "");
    assert_string_equal(out.data, "work/a-b_1.lcf 'auc_lift > 0' 'it'\\''s $HOME' ''");
    lcf_buf_dispose(&out);
}

static void sources_are_told_in_short(void **state)
{
    lcf_buf out = LCF_BUF_INIT;
    json_t *object =
        json_pack("{s:i, s:f, s:s, s:s}", "seed", 7, "lr", 0.005, "split", "test", "dataset",
                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");

    (void)state;
    assert_non_null(object);
    lcf_sources_text(&out, object);
    assert_non_null(strstr(out.data, "seed=7"));
    assert_non_null(strstr(out.data, "lr=0.005"));
    assert_non_null(strstr(out.data, "split=test"));
    assert_non_null(strstr(out.data, "dataset=0123456789ab"));
    assert_null(strstr(out.data, "0123456789abc"));
    json_decref(object);
    lcf_buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precision_by_hand),
        cmocka_unit_test(psi_by_hand),
        cmocka_unit_test(scores_are_checked_and_binned),
        cmocka_unit_test(latency_by_hand),
        cmocka_unit_test(answers_that_are_none_are_named),
        cmocka_unit_test(readers_survive_failed_allocations),
        cmocka_unit_test(cells_are_cut_at_characters_and_escaped),
        cmocka_unit_test(axes_hold_what_is_drawn),
        cmocka_unit_test(forest_mirrors_what_is_better_when_lower),
        cmocka_unit_test(labels_are_cut_to_their_room),
        cmocka_unit_test(shells_read_back_what_was_quoted),
        cmocka_unit_test(sources_are_told_in_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
