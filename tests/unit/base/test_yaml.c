/* YAML as JSON values: types of scalars, what is refused and where, and limits. */
#include "common/base/file.h"
#include "common/base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lcf_status load_text(json_t **out, const char *text, lcf_err *err)
{
    char path[] = "yaml-XXXXXX";
    const int fd = mkstemp(path);
    lcf_status status;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(lcf_file_write(path, text, strlen(text), NULL), LCF_OK);
    status = lcf_yaml_load(out, path, err);
    unlink(path);
    return status;
}

static void values_have_types(void **state)
{
    json_t *json, *expected;

    (void)state;
    assert_int_equal(load_text(&json,
                               "a: 1\nb: -2.5\nc: true\nd: '1'\ne: some text\nf:\n- x\n- [1, ~]\n"
                               "g: {h: 1e3, i: nan}\nj:\n",
                               NULL),
                     LCF_OK);
    expected =
        json_loads("{\"a\": 1, \"b\": -2.5, \"c\": true, \"d\": \"1\", \"e\": \"some text\", "
                   "\"f\": [\"x\", [1, null]], \"g\": {\"h\": 1000.0, \"i\": \"nan\"}, "
                   "\"j\": null}",
                   0, NULL);
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
    assert_int_equal(load_text(&json, "", NULL), LCF_OK);
    assert_true(json_is_null(json));
    json_decref(json);
}

static void refused(const char *text, const char *word)
{
    lcf_err err = LCF_ERR_INIT;
    json_t *json;

    assert_int_equal(load_text(&json, text, &err), LCF_EFORMAT);
    assert_null(json);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not say '%s'", err.text, word);
}

static void errors_name_the_line(void **state)
{
    json_t *json;

    (void)state;
    refused("a: 1\nb: [1\n", ":3: not valid YAML");
    refused("a: 1\na: 2\n", ":2: 'a' stands there twice");
    refused("[1, 2]: 3\n", ":1: a key");
    refused("a: \"x\\0y\"\n", ":1: a text holds a NUL");
    assert_int_equal(lcf_yaml_load(&json, "no-such-file.yaml", NULL), LCF_ENOENT);
}

static void limits_hold(void **state)
{
    char deep[4 * LCF_YAML_DEPTH_MAX + 8] = "";

    (void)state;
    for (int i = 0; i < 2 * LCF_YAML_DEPTH_MAX; i++)
        strcat(deep, "[");
    for (int i = 0; i < 2 * LCF_YAML_DEPTH_MAX; i++)
        strcat(deep, "]");
    refused(deep, "nested");
    refused("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
            "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
            "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
            "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
            "repeated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_types),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(limits_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
