/* Spaces of sweeps: what a file may say, the points of a grid, and random draws. */
#include "offline/train/sweep_space.h"

#include "common/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH "space.yaml"

static json_t *space_of(const char *text)
{
    lcf_err err = LCF_ERR_INIT;
    json_t *space;

    assert_int_equal(lcf_file_write(PATH, text, strlen(text), NULL), LCF_OK);
    if (sweep_space_load(&space, PATH, &err))
        fail_msg("%s", err.text);
    return space;
}

static const char *value(const json_t *points, size_t i, const char *option)
{
    return json_string_value(json_object_get(json_array_get(points, i), option));
}

static void test_grid(void **state)
{
    json_t *space = space_of("train:\n"
                             "  dataset: d\n"
                             "  lr: [0.001, 3e-3]\n"
                             "  batch: [128, 256, 512]\n"
                             "  force: [true, false]\n"
                             "  seeds: 1,2\n");
    json_t *points, *last;

    (void)state;
    assert_int_equal(sweep_grid(&points, space, NULL), LCF_OK);
    assert_int_equal(json_array_size(points), 12);
    assert_string_equal(value(points, 0, "lr"), "0.001");
    assert_string_equal(value(points, 0, "batch"), "128");
    assert_string_equal(value(points, 11, "lr"), "0.003");
    assert_string_equal(value(points, 11, "batch"), "512");
    assert_string_equal(value(points, 5, "dataset"), "d");
    assert_string_equal(value(points, 5, "seeds"), "1,2");
    assert_true(json_is_true(json_object_get(json_array_get(points, 0), "force")));
    last = json_array_get(points, 1);
    assert_null(json_object_get(last, "force"));
    assert_true(sweep_space_varies(space, "lr") && !sweep_space_varies(space, "dataset"));
    json_decref(points);
    json_decref(space);
}

static void test_example(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096];
    json_t *space, *points;

    (void)state;
    assert_non_null(source);
    snprintf(path, sizeof(path), "%s/schemas/examples/sweep.json", source);
    assert_int_equal(sweep_space_load(&space, path, NULL), LCF_OK);
    assert_int_equal(sweep_grid(&points, space, NULL), LCF_OK);
    assert_int_equal(json_array_size(points), 6);
    assert_string_equal(value(points, 0, "weight-decay"), "0.0001");
    json_decref(points);
    json_decref(space);
}

static void test_random(void **state)
{
    json_t *space = space_of("train:\n"
                             "  lr: {min: 1e-4, max: 1e-1, scale: log}\n"
                             "  dropout: {min: 0, max: 0.5}\n"
                             "  backbone: [din, fm]\n");
    json_t *points, *again, *other;
    size_t small = 0, din = 0;

    (void)state;
    assert_int_equal(sweep_random(&points, space, 200, 7, NULL), LCF_OK);
    assert_int_equal(sweep_random(&again, space, 200, 7, NULL), LCF_OK);
    assert_int_equal(sweep_random(&other, space, 200, 8, NULL), LCF_OK);
    assert_int_equal(json_array_size(points), 200);
    assert_true(json_equal(points, again) && !json_equal(points, other));
    for (size_t i = 0; i < 200; i++) {
        const double lr = strtod(value(points, i, "lr"), NULL);
        const double dropout = strtod(value(points, i, "dropout"), NULL);

        assert_true(lr >= 1e-4 && lr <= 1e-1 && dropout >= 0.0 && dropout <= 0.5);
        small += lr < 3.1623e-3; /* half of the logarithms */
        din += !strcmp(value(points, i, "backbone"), "din");
    }
    assert_true(small > 70 && small < 130 && din > 70 && din < 130);
    json_decref(points);
    json_decref(again);
    json_decref(other);
    json_decref(space);
    /* no more points than there are */
    space = space_of("train: {lr: [1, 2, 3]}\n");
    assert_int_equal(sweep_random(&points, space, 50, 1, NULL), LCF_OK);
    assert_int_equal(json_array_size(points), 3);
    json_decref(points);
    json_decref(space);
}

static void refuse(const char *text, const char *words)
{
    lcf_err err = LCF_ERR_INIT;
    json_t *space;

    assert_int_equal(lcf_file_write(PATH, text, strlen(text), NULL), LCF_OK);
    assert_int_equal(sweep_space_load(&space, PATH, &err), LCF_EFORMAT);
    assert_null(space);
    if (!strstr(err.text, words) || !strstr(err.text, PATH))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void test_refuses(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    json_t *space, *points;

    (void)state;
    refuse("lr: [1]\n", "not one section 'train'");
    refuse("train: {lr: [1]}\nother: {}\n", "not one section 'train'");
    refuse("train: {lr: []}\n", "lr: an empty list");
    refuse("train: {lr: [[1]]}\n", "lr: value 1");
    refuse("train: {lr: }\n", "lr has no value");
    refuse("train: {lr: {min: 1}}\n", "lr: a range is");
    refuse("train: {lr: {min: 2, max: 1}}\n", "no range");
    refuse("train: {lr: {min: 0, max: 1, scale: log}}\n", "logarithmic");
    refuse("train: {lr: {min: 0, max: 1, scale: cubic}}\n", "log or linear");
    refuse("train: {lr: 1, out: x}\n", "out: the sweep decides");
    space = space_of("train: {lr: {min: 1, max: 2}}\n");
    assert_int_equal(sweep_grid(&points, space, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "lr is a range"));
    json_decref(space);
    space = space_of("train: {a: [1,2,3,4,5,6,7,8,9,10], b: [1,2,3,4,5,6,7,8,9,10], c: "
                     "[1,2,3,4,5,6,7,8,9,10], d: [1,2,3,4,5,6,7,8,9,10], e: [1, 2]}\n");
    assert_int_equal(sweep_grid(&points, space, &err), LCF_ELIMIT);
    json_decref(space);
    assert_int_equal(sweep_space_load(&space, "nowhere.yaml", NULL), LCF_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
