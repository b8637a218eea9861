/*
 * The golden examples of schemas/: they can be read, hold what their schemas list, and are what the
 * program writes today. `test_data_golden DIR` writes those of test_written_today anew.
 */
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/data/codes.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/data/predictions.h"
#include "offline/data/prepare.h"
#include "offline/data/rows.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* schemas/<name>; free() releases it. */
static char *schema_path(const char *name)
{
    const char *root = getenv("LCF_SOURCE_DIR");
    char *schemas = lcf_path_join(root ? root : ".", "schemas"), *path;

    path = lcf_path_join(schemas, name);
    assert_non_null(path);
    free(schemas);
    return path;
}

static json_t *load(const char *name)
{
    char *path = schema_path(name);
    lcf_err err = LCF_ERR_INIT;
    json_t *json = NULL;

    if (lcf_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    free(path);
    return json;
}

/* Symbols of dims ("items", "items + 1") and the sizes they stand for. */
typedef struct symbols {
    char name[32][64];
    uint64_t value[32];
    size_t n;
} symbols;

static void bind(symbols *s, const char *array, const char *dim, uint64_t found)
{
    const char *plus = strstr(dim, " + 1");
    size_t len = plus ? (size_t)(plus - dim) : strlen(dim);

    found -= plus ? 1 : 0;
    for (size_t i = 0; i < s->n; i++) {
        if (strlen(s->name[i]) != len || memcmp(s->name[i], dim, len))
            continue;
        if (s->value[i] != found)
            fail_msg("%s: '%s' is %llu here and %llu elsewhere", array, dim,
                     (unsigned long long)found, (unsigned long long)s->value[i]);
        return;
    }
    assert_true(s->n < 32 && len < 64);
    snprintf(s->name[s->n], sizeof(s->name[0]), "%.*s", (int)len, dim);
    s->value[s->n++] = found;
}

static void check_array(symbols *s, const json_t *row, const lcf_array *a)
{
    static const char *const dtypes[] = {"", "u8", "u32", "u64", "i32", "i64", "f32", "f64", "i16"};
    const json_t *dims = json_object_get(row, "dims");

    assert_string_equal(dtypes[a->dtype], json_string_value(json_object_get(row, "dtype")));
    assert_int_equal(a->dims_n, json_array_size(dims));
    for (size_t i = 0; i < a->dims_n; i++) {
        const json_t *dim = json_array_get(dims, i);

        if (json_is_integer(dim))
            assert_int_equal(a->dims[i], json_integer_value(dim));
        else
            bind(s, a->name, json_string_value(dim), a->dims[i]);
    }
}

/* The bundle has the arrays of the schema and no others. */
static void check_bundle(const char *schema_name, const char *example)
{
    json_t *schema = load(schema_name), *row;
    char *path = schema_path(example);
    lcf_bundle *b = NULL;
    lcf_err err = LCF_ERR_INIT;
    symbols s = {.n = 0};
    size_t i;

    if (lcf_bundle_open(&b, path, json_string_value(json_object_get(schema, "kind")),
                        (uint32_t)json_integer_value(json_object_get(schema, "version")), &err))
        fail_msg("%s", err.text);
    json_array_foreach(json_object_get(schema, "arrays"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        const lcf_array *a = lcf_bundle_find(b, name);

        if (!a)
            fail_msg("%s has no array %s", example, name);
        check_array(&s, row, a);
    }
    assert_int_equal(lcf_bundle_arrays_n(b), json_array_size(json_object_get(schema, "arrays")));
    lcf_bundle_close(b);
    json_decref(schema);
    free(path);
}

static void test_arrays(void **state)
{
    (void)state;
    check_bundle("items.arrays.json", "examples/dataset/items.lcf");
    check_bundle("users.arrays.json", "examples/dataset/users.lcf");
    check_bundle("samples.arrays.json", "examples/dataset/samples.lcf");
    check_bundle("truth.arrays.json", "examples/raw/truth.lcf");
    check_bundle("embeddings.arrays.json", "examples/embeddings.lcf");
    check_bundle("predictions.arrays.json", "examples/predictions.lcf");
    check_bundle("codes.arrays.json", "examples/codes.lcf");
}

static void same_bytes(const char *a, const char *b)
{
    lcf_map left, right;

    assert_int_equal(lcf_map_open(&left, a, NULL), LCF_OK);
    assert_int_equal(lcf_map_open(&right, b, NULL), LCF_OK);
    if (left.bytes_n != right.bytes_n || memcmp(left.data, right.data, left.bytes_n))
        fail_msg("%s and %s differ", a, b);
    lcf_map_close(&left);
    lcf_map_close(&right);
}

/* prepare turns examples/raw into examples/dataset. */
static void test_dataset(void **state)
{
    static const char *const files[] = {"items.lcf", "users.lcf", "samples.lcf"};
    lcf_prepare_options o = LCF_PREPARE_OPTIONS_INIT;
    char *raw = schema_path("examples/raw"), *golden = schema_path("examples/dataset");
    char *dir = lcf_fixture_dir(), *out = lcf_path_join(dir, "dataset");
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_manifest_verify(raw, NULL), LCF_OK);
    assert_int_equal(lcf_manifest_verify(golden, NULL), LCF_OK);
    if (lcf_dataset_open(&d, golden, &err))
        fail_msg("%s", err.text);
    assert_int_equal(d.users_n, 7);
    assert_int_equal(d.catalogue.items_n, 9);
    assert_int_equal(d.samples_n, 21);
    lcf_dataset_close(&d);
    o.input_dir = raw;
    o.out_dir = out;
    assert_int_equal(lcf_prepare(NULL, NULL, &o, NULL), LCF_OK);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *a = lcf_path_join(golden, files[i]), *b = lcf_path_join(out, files[i]);

        same_bytes(a, b);
        free(a);
        free(b);
    }
    lcf_dir_remove(dir, NULL);
    free(raw);
    free(golden);
    free(out);
    free(dir);
}

static bool cell_is(lcf_str cell, const json_t *value)
{
    double number;

    if (json_is_number(value))
        return lcf_parse_f64(cell.data, cell.len, &number) && number == json_number_value(value);
    return json_is_string(value) && cell.len == json_string_length(value) &&
           !memcmp(cell.data, json_string_value(value), cell.len);
}

/* A table and its JSON form, which the JSON Schema describes, say the same. */
static void check_table(const char *tsv, const char *json)
{
    char *path = schema_path(tsv), names[16][32];
    json_t *rows = load(json), *row;
    size_t names_n, i;
    lcf_map map;
    lcf_rows reader;

    assert_int_equal(lcf_map_open(&map, path, NULL), LCF_OK);
    assert_int_equal(lcf_rows_init(&reader, (const char *)map.data, map.bytes_n, '\t', false, NULL),
                     LCF_OK);
    assert_int_equal(lcf_rows_next(&reader), LCF_ROW_OK);
    names_n = reader.fields_n;
    assert_true(names_n <= 16);
    for (i = 0; i < names_n; i++)
        snprintf(names[i], sizeof(names[i]), "%.*s", (int)reader.fields[i].len,
                 reader.fields[i].data);
    json_array_foreach(rows, i, row)
    {
        assert_int_equal(lcf_rows_next(&reader), LCF_ROW_OK);
        assert_int_equal(json_object_size(row), names_n);
        for (size_t k = 0; k < names_n; k++)
            if (!cell_is(reader.fields[k], json_object_get(row, names[k])))
                fail_msg("%s:%zu: %s", path, reader.line, names[k]);
    }
    assert_int_equal(lcf_rows_next(&reader), LCF_ROW_END);
    lcf_rows_dispose(&reader);
    lcf_map_close(&map);
    json_decref(rows);
    free(path);
}

static void test_tables(void **state)
{
    (void)state;
    check_table("examples/raw/items.tsv", "examples/items.json");
    check_table("examples/raw/interactions.tsv", "examples/interactions.json");
    check_table("examples/raw/impressions.tsv", "examples/impressions.json");
}

static lcf_status write_examples(const char *dir, lcf_err *err)
{
    static const float vectors[] = {0.6f, 0.8f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f};
    static const lcf_hash128 keys[] = {{{0x00, 0x11}}, {{0x22, 0x33}}, {{0xfe, 0xdc}}};
    static const uint64_t row[] = {17, 18, 20}, seeds[] = {2023, 2024};
    static const uint32_t user[] = {3, 3, 1};
    static const uint8_t label[] = {1, 0, 0};
    static const float scores[] = {0.75f, 0.5f, 0.125f, 0.625f, 0.25f, 0.5f};
    static const uint8_t user_codes[] = {0, 0, 172, 16, 254, 1, 0, 255},
                         item_codes[] = {0, 0, 128, 1, 7, 56};
    const lcf_predictions p = {NULL, 3, 2, row, user, label, seeds, scores};
    const lcf_codes c = {NULL, 2, 4, 3, user_codes, item_codes};
    char *embeddings = lcf_path_join(dir, "embeddings.lcf");
    char *predictions = lcf_path_join(dir, "predictions.lcf");
    char *codes = lcf_path_join(dir, "codes.lcf");
    lcf_status status = lcf_embeddings_save(embeddings, vectors, keys, 3, 3, err);

    if (!status)
        status = lcf_predictions_save(predictions, &p, err);
    if (!status)
        status = lcf_codes_save(codes, &c, err);
    free(embeddings);
    free(predictions);
    free(codes);
    return status;
}

static void test_written_today(void **state)
{
    static const char *const files[] = {"embeddings.lcf", "predictions.lcf", "codes.lcf"};
    char *golden = schema_path("examples"), *dir = lcf_fixture_dir();

    (void)state;
    assert_int_equal(write_examples(dir, NULL), LCF_OK);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *a = lcf_path_join(golden, files[i]), *b = lcf_path_join(dir, files[i]);

        same_bytes(a, b);
        free(a);
        free(b);
    }
    lcf_dir_remove(dir, NULL);
    free(golden);
    free(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_dataset),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_written_today),
    };

    if (argc == 2)
        return write_examples(argv[1], NULL) ? 1 : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
