/*
 * Gate conditions, slices, and the report in its three forms.
 */
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/retrieved.h"
#include "offline/eval/compare.h"
#include "offline/eval/gate.h"
#include "offline/eval/report.h"
#include "offline/eval/slices.h"
#include "offline/eval/svg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- gate ---- */

static lcf_figures known_figures(void)
{
    lcf_figures f = {.n = 0};

    lcf_figures_add(&f, "auc", "_lift", 0.01);
    lcf_figures_add(&f, "auc", "_lift_low", -0.002);
    lcf_figures_add(&f, "uauc", "_a", NAN);
    return f;
}

static void gate_reads_conditions(void **state)
{
    static const struct {
        const char *text, *name;
        lcf_gate_op op;
        double bound;
    } good[] = {
        {"auc_lift > 0", "auc_lift", LCF_GATE_GT, 0},
        {"auc_lift>=-1.5e-3", "auc_lift", LCF_GATE_GE, -1.5e-3},
        {"  auc_lift_low\t<  2 ", "auc_lift_low", LCF_GATE_LT, 2},
        {"uauc_a <= .5", "uauc_a", LCF_GATE_LE, .5},
    };
    lcf_figures f = known_figures();
    lcf_gate_condition c;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(lcf_gate_parse(&c, good[i].text, &f, NULL), LCF_OK);
        assert_string_equal(c.name, good[i].name);
        assert_int_equal(c.op, good[i].op);
        assert_true(c.bound == good[i].bound);
    }
}

static void gate_refuses_the_rest(void **state)
{
    static const char *const bad[] = {"",
                                      ">",
                                      "auc_lift",
                                      "auc_lift >",
                                      "> 0",
                                      "auc_lift 0",
                                      "auc_lift = 0",
                                      "auc_lift > 0 0",
                                      "auc_lift > x",
                                      "auc_lift > nan",
                                      "auc lift > 0",
                                      "auc_lift > 0; rm"};
    lcf_figures f = known_figures();
    lcf_gate_condition c;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (lcf_gate_parse(&c, bad[i], &f, NULL) != LCF_EUSAGE)
            fail_msg("'%s' was taken", bad[i]);
    assert_int_equal(lcf_gate_parse(&c, "auc_lif > 0", &f, &err), LCF_EUSAGE);
    assert_non_null(strstr(err.text, "no figure 'auc_lif'; there are: auc_lift auc_lift_low"));
}

static void gate_checks_every_condition(void **state)
{
    lcf_figures f = known_figures();
    lcf_gate_condition c[3];

    (void)state;
    assert_int_equal(lcf_gate_parse(&c[0], "auc_lift > 0.005", &f, NULL), LCF_OK);
    assert_int_equal(lcf_gate_parse(&c[1], "auc_lift_low > 0", &f, NULL), LCF_OK);
    assert_int_equal(lcf_gate_parse(&c[2], "uauc_a <= 1", &f, NULL), LCF_OK);
    assert_true(lcf_gate_check(c, 1, &f));
    assert_true(lcf_gate_check(c, 0, &f));
    assert_false(lcf_gate_check(c, 3, &f));
    assert_true(c[0].met);
    assert_false(c[1].met);
    assert_false(c[2].met); /* not defined: met by nothing */
    assert_true(c[1].value == -0.002);
}

static void all_names_fit_and_differ(void **state)
{
    lcf_figures f;

    (void)state;
    lcf_comparison_figures(&f, NULL);
    for (size_t i = 0; i < f.n; i++)
        assert_ptr_equal(lcf_figures_find(&f, f.list[i].name, strlen(f.list[i].name)), &f.list[i]);
    assert_non_null(lcf_figures_find(&f, "logloss_lift_high", 17));
}

/* ---- slices over a dataset of 3 users, 12 items; samples 0-12 train, 13-16 test ---- */

static const uint32_t SAMPLE_USER[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 1, 2};
static const uint32_t SAMPLE_ITEM[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 9, 10, 11, 9, 1};
static const uint8_t SAMPLE_LABEL[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0};
static const int64_t SAMPLE_TIME[17] = {0};
static const uint64_t USER_OFFSETS[] = {0, 0, 25, 29, 29};
static const uint64_t SAMPLE_HISTORY_END[] = {0, 0,  0,  0,  0,  0,  0,  0,     0,
                                              0, 25, 25, 25, 29, 29, 24, 25 + 1};

static lcf_dataset small_dataset(void)
{
    static const uint32_t events[29] = {0};
    static const int64_t times[29] = {0};
    lcf_dataset d = {.users_n = 4,
                     .user_offsets = USER_OFFSETS,
                     .event_item = events,
                     .event_time = times,
                     .events_n = 29,
                     .samples_n = 17,
                     .split_begin = {0, 13, 13, 17},
                     .sample_user = SAMPLE_USER,
                     .sample_item = SAMPLE_ITEM,
                     .sample_label = SAMPLE_LABEL,
                     .sample_time = SAMPLE_TIME,
                     .sample_history_end = SAMPLE_HISTORY_END};

    d.catalogue.items_n = 13;
    return d;
}

static const lcf_slice_dimension *dimension_of(const lcf_slices *s, const char *name)
{
    for (size_t k = 0; k < s->n; k++)
        if (!strcmp(s->dimensions[k].name, name))
            return &s->dimensions[k];
    fail_msg("no dimension '%s'", name);
    return NULL;
}

/* Brands: items 1-9 have brand 1, 10-12 brand 2, the unknown none; item 9 is of category 1 and 2,
 * item 11 of category 2. */
static void add_catalogue(lcf_dataset *d)
{
    static const char chars[] = "acmeglobex";
    static const uint64_t offsets[] = {0, 0, 4, 10};
    static const uint32_t brand[13] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2};
    static const uint64_t category_offsets[14] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3, 3};
    static const uint32_t categories[] = {1, 2, 2};

    d->catalogue.brands_n = d->catalogue.categories_n = 3;
    d->catalogue.brand = d->catalogue.category = (lcf_strings){3, offsets, chars, NULL};
    d->catalogue.item_brand = brand;
    d->catalogue.category_offsets = category_offsets;
    d->catalogue.item_categories = categories;
}

static void slices_by_hand(void **state)
{
    static const lcf_slices_options plain = {NULL, NULL, 0};
    lcf_dataset d = small_dataset();
    uint64_t row[] = {13, 14, 15, 16};
    uint8_t label[] = {1, 0, 1, 0};
    uint32_t user[] = {1, 2, 0, 1};
    lcf_eval_table t = {.rows_n = 4, .users_n = 3, .row = row, .label = label, .user = user};
    const lcf_slice_dimension *popularity, *brand;
    lcf_slices s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    add_catalogue(&d);
    assert_int_equal(lcf_slices_init(&s, &t, &d, &plain, NULL), LCF_OK);
    /* user 3 and item 11 are cold; histories of 4, 0, 20, 1 */
    assert_memory_equal(dimension_of(&s, "user")->of, ((uint8_t[]){0, 1, 0, 0}), 4);
    assert_memory_equal(dimension_of(&s, "item")->of, ((uint8_t[]){0, 1, 0, 0}), 4);
    assert_memory_equal(dimension_of(&s, "history")->of, ((uint8_t[]){1, 0, 4, 1}), 4);
    /* items 11 and 12 have no training sample, 1-8 one, 9 two, 10 three: deciles begin at items
     * 0, 1, 2, 3, 4, 6, 7, 8, 9, 10 of that order, and ties share the lowest */
    popularity = dimension_of(&s, "popularity");
    assert_memory_equal(popularity->of, ((uint8_t[]){9, 0, 9, 2}), 4);
    assert_string_equal(popularity->names[9], "popularity decile 10");
    assert_string_equal(dimension_of(&s, "user")->names[1], "cold user");
    assert_string_equal(dimension_of(&s, "history")->names[2], "history 5-9");
    /* items 10, 11, 9, 1: two rows of either brand, the lower index first */
    brand = dimension_of(&s, "brand");
    assert_memory_equal(brand->of, ((uint8_t[]){1, 1, 0, 0}), 4);
    assert_string_equal(brand->names[0], "brand: acme");
    assert_string_equal(brand->names[2], "brand: other");
    /* two rows in category 2, one in category 1, the more frequent first */
    assert_int_equal(s.n, 7);
    assert_string_equal(s.dimensions[5].names[0], "category: globex");
    assert_memory_equal(s.dimensions[5].of, ((uint8_t[]){255, 0, 0, 255}), 4);
    assert_memory_equal(s.dimensions[6].of, ((uint8_t[]){255, 255, 0, 255}), 4);
    lcf_slices_dispose(&s);
    label[2] = 0;
    assert_int_equal(lcf_slices_init(&s, &t, &d, &plain, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "sample 15 has label 0 in the predictions and 1"));
    row[3] = 17;
    label[2] = 1;
    err = (lcf_err)LCF_ERR_INIT;
    assert_int_equal(lcf_slices_init(&s, &t, &d, &plain, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "sample 17, the dataset has 17"));
}

/* Retrieved examples of 17 samples, two each, of the dataset with that id. */
static void save_retrieved(const char *dir, const float *scores, const uint32_t *ids, char id[65])
{
    lcf_retrieved r = {
        .rule = LCF_EXAMPLE_OPTIONS_INIT, .rows_n = 17, .ids = ids, .scores = scores};
    lcf_manifest *m;
    json_t *json;
    char own[65];

    r.rule.k = 2;
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    assert_int_equal(lcf_file_write("dataset.bin", "data", 4, NULL), LCF_OK);
    assert_int_equal(lcf_retrieved_save("retrieved/retrieved.lcf", &r, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_create(&m, "retrieve", NULL), LCF_OK);
    assert_int_equal(lcf_manifest_input(m, "dataset", "dataset.bin", NULL), LCF_OK);
    assert_int_equal(lcf_manifest_write(m, dir, NULL), LCF_OK);
    lcf_manifest_free(m);
    assert_int_equal(lcf_manifest_read(own, &json, dir, NULL), LCF_OK);
    snprintf(id, 65, "%s",
             json_string_value(json_object_get(
                 json_object_get(json_object_get(json, "identity"), "inputs"), "dataset")));
    json_decref(json);
}

static void slices_by_examples(void **state)
{
    static const lcf_slices_options options = {"retrieved", NULL, 0};
    lcf_dataset d = small_dataset();
    uint64_t row[12];
    uint8_t label[12];
    uint32_t user[12] = {0}, ids[34];
    float scores[34] = {0};
    lcf_eval_table t = {.rows_n = 12, .users_n = 1, .row = row, .label = label, .user = user};
    const lcf_slice_dimension *similarity;
    lcf_slices s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    add_catalogue(&d);
    for (size_t i = 0; i < 12; i++) {
        row[i] = i;
        label[i] = SAMPLE_LABEL[i];
    }
    for (size_t i = 0; i < 17; i++) { /* the second is the better one; rows 0 and 1 have none */
        ids[2 * i] = ids[2 * i + 1] = i < 2 ? LCF_EXAMPLE_NONE : 7;
        scores[2 * i] = 0.125f;
        scores[2 * i + 1] = 0.25f + 0.03125f * (float)i;
    }
    save_retrieved("retrieved", scores, ids, d.id);
    assert_int_equal(lcf_slices_init(&s, &t, &d, &options, NULL), LCF_OK);
    assert_memory_equal(dimension_of(&s, "examples")->of,
                        ((uint8_t[]){1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 12);
    similarity = dimension_of(&s, "similarity"); /* ten rows with examples, a decile each */
    assert_memory_equal(similarity->of, ((uint8_t[]){255, 255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), 12);
    assert_string_equal(similarity->names[0], "similarity decile 1 (0.312 to 0.312)");
    lcf_slices_dispose(&s);
    d.id[0] = d.id[0] == 'a' ? 'b' : 'a';
    assert_int_equal(lcf_slices_init(&s, &t, &d, &options, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "retrieved was made of another dataset"));
}

static void deciles_share_ties_and_leave_nan_out(void **state)
{
    double values[24];
    lcf_slices s = {.rows_n = 24};

    (void)state;
    for (size_t i = 0; i < 20; i++)
        values[i] = (double)(19 - i); /* two rows a decile */
    for (size_t i = 20; i < 24; i++)
        values[i] = NAN;
    values[18] = values[19] = values[17] =
        values[16]; /* the four lowest are equal: all in the first */
    assert_int_equal(lcf_slices_add_deciles(&s, "price", values, NULL), LCF_OK);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(s.dimensions[0].of[i], 9 - i / 2);
    for (size_t i = 16; i < 20; i++)
        assert_int_equal(s.dimensions[0].of[i], 0);
    for (size_t i = 20; i < 24; i++)
        assert_int_equal(s.dimensions[0].of[i], LCF_SLICE_NONE);
    assert_string_equal(s.dimensions[0].names[9], "price decile 10 (18 to 19)");
    lcf_slices_dispose(&s);
}

static void only_the_top_values_get_slices(void **state)
{
    /* value v occurs v times, v = 1 ... 12: the ten most frequent are 12 ... 3 */
    static const char chars[] = "abcdefghijkl";
    static const uint64_t offsets[] = {0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const lcf_strings texts = {13, offsets, chars, NULL};
    uint32_t value[79] = {0};
    lcf_slices s = {.rows_n = 79};
    size_t i = 0;

    (void)state;
    for (uint32_t v = 1; v <= 12; v++)
        for (uint32_t k = 0; k < v; k++)
            value[i++] = v;
    assert_int_equal(lcf_slices_add_values(&s, "size", value, &texts, NULL), LCF_OK);
    assert_int_equal(s.dimensions[0].count, 11);
    assert_string_equal(s.dimensions[0].names[0], "size: l");
    assert_string_equal(s.dimensions[0].names[9], "size: c");
    assert_int_equal(s.dimensions[0].of[77], 0);
    assert_int_equal(s.dimensions[0].of[2], 10); /* b, one of the others */
    assert_int_equal(s.dimensions[0].of[78], LCF_SLICE_NONE);
    lcf_slices_dispose(&s);
}

/* ---- report ---- */

enum { ROWS = 240, USERS = 40, SEEDS = 2 };

typedef struct rows {
    uint64_t row[ROWS], seeds[SEEDS];
    uint32_t user[ROWS];
    uint8_t label[ROWS];
    float scores[LCF_ARMS][SEEDS * ROWS];
} rows;

static lcf_eval_table make_table(void)
{
    static rows r;
    lcf_predictions arms[LCF_ARMS];
    lcf_eval_table t;
    lcf_rng rng;

    lcf_rng_seed(&rng, 9, 9);
    for (size_t i = 0; i < ROWS; i++) {
        r.row[i] = i;
        r.user[i] = (uint32_t)(i % USERS);
        r.label[i] = lcf_rng_below(&rng, 2) == 1;
        for (size_t a = 0; a < LCF_ARMS; a++)
            for (size_t s = 0; s < SEEDS; s++)
                r.scores[a][s * ROWS + i] =
                    0.2f + 0.3f * (float)r.label[i] * (float)a + 0.5f * lcf_rng_f32(&rng);
    }
    for (size_t s = 0; s < SEEDS; s++)
        r.seeds[s] = s + 1;
    for (size_t a = 0; a < LCF_ARMS; a++)
        arms[a] =
            (lcf_predictions){NULL, ROWS, SEEDS, r.row, r.user, r.label, r.seeds, r.scores[a]};
    assert_int_equal(lcf_eval_table_align(&t, &arms[0], &arms[1], NULL, NULL), LCF_OK);
    return t;
}

static lcf_status compare(lcf_comparison *out, const lcf_eval_table *t, size_t threads)
{
    lcf_compare_options options = LCF_COMPARE_OPTIONS_INIT;
    lcf_pool *pool;
    lcf_status status = lcf_pool_create(&pool, threads, NULL);

    if (status)
        return status;
    options.replicates_n = 100;
    options.permutations_n = 50;
    status = lcf_compare(out, t, NULL, pool, &options, NULL);
    lcf_pool_free(pool);
    return status;
}

/* What surrounds a comparison of which nothing is known but the scores. */
static lcf_background make_background(const lcf_eval_table *t)
{
    lcf_background b = {.other_split = "valid"};

    for (size_t a = 0; a < LCF_ARMS; a++)
        assert_int_equal(
            lcf_score_sample_init(&b.scores[a], t->scores[a], t->seeds_n[a] * t->rows_n, NULL),
            LCF_OK);
    b.sources = json_array();
    b.command = lcf_strdup("llmcf evaluate --a '<b>'");
    assert_non_null(b.sources);
    assert_non_null(b.command);
    return b;
}

static void report_says_the_same_in_three_forms(void **state)
{
    lcf_eval_table t = make_table();
    lcf_gate_condition condition;
    lcf_figures figures;
    lcf_comparison c;
    lcf_background background = make_background(&t);
    lcf_report report = {.arm_name = {"base", "<b>&new"},
                         .split = "test",
                         .background = &background,
                         .conditions_n = 1};
    lcf_buf md = LCF_BUF_INIT, html = LCF_BUF_INIT, text = LCF_BUF_INIT, lift = LCF_BUF_INIT;
    json_t *json;
    double value;

    (void)state;
    assert_int_equal(compare(&c, &t, 1), LCF_OK);
    lcf_comparison_figures(&figures, &c);
    assert_int_equal(lcf_gate_parse(&condition, "auc_lift_low > 0", &figures, NULL), LCF_OK);
    report.comparison = &c;
    report.conditions = &condition;
    report.passed = lcf_gate_check(&condition, 1, &figures);
    assert_true(report.passed);
    assert_int_equal(lcf_comparison_direction(&c), LCF_DIRECTION_BETTER);
    assert_int_equal(lcf_comparison_verdict(&c, &condition, 1), LCF_VERDICT_SHIP);
    assert_int_equal(lcf_report_json(&json, &report, NULL), LCF_OK);
    assert_int_equal(
        lcf_json_f64(
            &value,
            json_object_get(json_object_get(json_object_get(json, "measures"), "auc"), "lift"),
            "value", NULL),
        LCF_OK);
    assert_true(value == c.measures[LCF_METRIC_AUC].lift.value);
    assert_true(json_is_true(json_object_get(json_object_get(json, "gate"), "passed")));
    lcf_report_markdown(&md, &report);
    lcf_report_html(&html, &report);
    lcf_report_summary(&text, json);
    assert_int_equal(md.status || html.status || text.status, 0);
    lcf_buf_printf(&lift, "AUC lift %+.4f, 95 %% interval %+.4f to %+.4f", value,
                   c.measures[LCF_METRIC_AUC].lift.low, c.measures[LCF_METRIC_AUC].lift.high);
    assert_non_null(strstr(md.data, lift.data));
    assert_non_null(strstr(html.data, lift.data));
    assert_non_null(strstr(text.data, lift.data));
    assert_null(strstr(html.data, "<b>&new")); /* names are data, not markup */
    assert_non_null(strstr(html.data, "&lt;b&gt;&amp;new"));
    assert_null(strstr(html.data, "http")); /* nothing is fetched */
    json_decref(json);
    lcf_buf_dispose(&md);
    lcf_buf_dispose(&html);
    lcf_buf_dispose(&text);
    lcf_buf_dispose(&lift);
    lcf_background_dispose(&background);
    lcf_comparison_dispose(&c);
    lcf_eval_table_dispose(&t);
}

/* Both have the same members of the same types; null stands for any, and slices and gates may be
 * missing from either. */
static void same_shape(const char *at, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;

    if (json_is_null(a) || json_is_null(b))
        return;
    if (json_typeof(a) != json_typeof(b) && !(json_is_boolean(a) && json_is_boolean(b)))
        fail_msg("%s has another type in the example", at);
    if (json_is_array(a) && json_array_size(a) && json_array_size(b))
        same_shape(at, json_array_get(a, 0), json_array_get(b, 0));
    if (!json_is_object(a))
        return;
    json_object_foreach(a, key, value)
    {
        if (!json_object_get(b, key))
            fail_msg("%s.%s is missing from the example or from the report", at, key);
        same_shape(key, value, json_object_get(b, key));
    }
    assert_int_equal(json_object_size(a), json_object_size(b));
}

static void example_is_what_is_written(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    lcf_eval_table t = make_table();
    lcf_background background = make_background(&t);
    lcf_report report = {.arm_name = {"a", "b"}, .split = "test", .background = &background};
    lcf_comparison c;
    lcf_buf path = LCF_BUF_INIT, text = LCF_BUF_INIT;
    json_t *json, *example;

    (void)state;
    if (!source)
        skip();
    lcf_buf_printf(&path, "%s/schemas/examples/report.json", source);
    assert_int_equal(lcf_json_load(&example, lcf_buf_text(&path), NULL), LCF_OK);
    assert_int_equal(compare(&c, &t, 1), LCF_OK);
    report.comparison = &c;
    assert_int_equal(lcf_report_json(&json, &report, NULL), LCF_OK);
    same_shape("report", json, example);
    same_shape("report", example, json);
    lcf_report_summary(&text, example);
    assert_non_null(strstr(text.data, "met     auc_lift_low > 0"));
    json_decref(json);
    json_decref(example);
    lcf_buf_dispose(&path);
    lcf_buf_dispose(&text);
    lcf_background_dispose(&background);
    lcf_comparison_dispose(&c);
    lcf_eval_table_dispose(&t);
}

static void undefined_figures_are_null(void **state)
{
    lcf_eval_table t = make_table();
    lcf_background background = make_background(&t);
    lcf_report report = {.arm_name = {"a", "b"}, .split = "test", .background = &background};
    lcf_comparison c;
    json_t *json;

    (void)state;
    for (size_t i = 0; i < t.rows_n; i++) /* every user has one class: there is no UAUC */
        t.label[i] = (uint8_t)(t.user[i] % 2);
    assert_int_equal(compare(&c, &t, 1), LCF_OK);
    report.comparison = &c;
    assert_int_equal(lcf_report_json(&json, &report, NULL), LCF_OK);
    assert_int_equal(c.users_both_n, 0);
    assert_true(json_is_null(json_object_get(
        json_object_get(json_object_get(json_object_get(json, "measures"), "uauc"), "lift"),
        "value")));
    assert_true(json_is_null(json_object_get(json, "gate")));
    json_decref(json);
    lcf_background_dispose(&background);
    lcf_comparison_dispose(&c);
    lcf_eval_table_dispose(&t);
}

static void comparison_survives_failed_allocations(void **state)
{
    lcf_eval_table t = make_table();
    lcf_status status = LCF_ENOMEM;
    lcf_comparison c;

    (void)state;
    for (uint64_t n = 1; status; n++) {
        assert_in_range(n, 1, 200);
        lcf_alloc_fail_at(n);
        status = compare(&c, &t, 1);
        lcf_alloc_fail_at(0);
        assert_true(status == LCF_OK || status == LCF_ENOMEM);
    }
    lcf_comparison_dispose(&c);
    lcf_eval_table_dispose(&t);
}

static void ticks_are_round(void **state)
{
    (void)state;
    assert_true(fabs(lcf_svg_tick(0.26, 6) - 0.05) < 1e-12);
    assert_true(fabs(lcf_svg_tick(1, 5) - 0.2) < 1e-12);
    assert_true(fabs(lcf_svg_tick(60, 6) - 10) < 1e-12);
    assert_true(fabs(lcf_svg_tick(0.0041, 6) - 0.001) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gate_reads_conditions),
        cmocka_unit_test(gate_refuses_the_rest),
        cmocka_unit_test(gate_checks_every_condition),
        cmocka_unit_test(all_names_fit_and_differ),
        cmocka_unit_test(slices_by_hand),
        cmocka_unit_test(slices_by_examples),
        cmocka_unit_test(deciles_share_ties_and_leave_nan_out),
        cmocka_unit_test(only_the_top_values_get_slices),
        cmocka_unit_test(report_says_the_same_in_three_forms),
        cmocka_unit_test(example_is_what_is_written),
        cmocka_unit_test(undefined_figures_are_null),
        cmocka_unit_test(comparison_survives_failed_allocations),
        cmocka_unit_test(ticks_are_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
