/* Bundles: round trip, and no damage that goes unnoticed. */
#include "tests/unit/test.h"

#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

static const uint32_t NUMBERS[] = {1, 2, 3, 4, 5, 6};

static lcf_status write_sample(const char *path, lcf_err *err)
{
    static const float VALUES[] = {0.5f, -1.0f};
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, "sample", 2, err);

    if (!status)
        status = lcf_bundle_add(w, "numbers", LCF_U32, (const uint64_t[]){2, 3}, 2, NUMBERS, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "values", LCF_F32, 2, VALUES, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "nothing", LCF_F64, 0, NULL, err);
    if (!status)
        status = lcf_bundle_add_text(w, "text", "{\"a\": 1}", err);
    return lcf_bundle_finish(w, status, err);
}

static void what_was_written_is_read(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "b.lcf"), *text;
    lcf_err err = LCF_ERR_INIT;
    lcf_bundle *b;
    lcf_bundle_writer *w;
    const void *data;
    uint64_t dims[2] = {0, 3};
    json_t *json;

    (void)state;
    assert_ok(lcf_bundle_create(&w, path, "sample", 2, &err), &err);
    assert_int_equal(lcf_bundle_finish(w, LCF_ECANCELED, &err), LCF_ECANCELED);
    assert_false(lcf_path_exists(path));
    assert_ok(write_sample(path, &err), &err);
    assert_ok(lcf_bundle_open(&b, path, "sample", 2, &err), &err);
    assert_int_equal(lcf_bundle_arrays_n(b), 4);
    assert_ok(lcf_bundle_get(&data, b, "numbers", LCF_U32, dims, 2, &err), &err);
    assert_int_equal(dims[0], 2);
    assert_memory_equal(data, NUMBERS, sizeof(NUMBERS));
    assert_int_equal((uintptr_t)data % 64, 0);
    assert_ok(lcf_bundle_get_text(&text, b, "text", &err), &err);
    assert_string_equal(text, "{\"a\": 1}");
    free(text);
    assert_ok(lcf_bundle_get_json(&json, b, "text", &err), &err);
    assert_int_equal(json_integer_value(json_object_get(json, "a")), 1);
    json_decref(json);
    assert_int_equal(lcf_bundle_get_json(&json, b, "numbers", &err), LCF_EFORMAT);
    assert_null(json);
    assert_int_equal(lcf_bundle_get(&data, b, "values", LCF_U32, dims, 1, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "values"));
    assert_int_equal(lcf_bundle_get(&data, b, "absent", LCF_U32, dims, 1, &err), LCF_EFORMAT);
    lcf_bundle_close(b);
    assert_int_equal(lcf_bundle_open(&b, path, "other", 2, &err), LCF_EFORMAT);
    assert_int_equal(lcf_bundle_open(&b, path, "sample", 1, &err), LCF_EVERSION);
    free(path);
    test_folder_remove(dir);
}

/* Every truncation and every flipped bit outside the alignment gaps must be refused; a gap carries
 * no information. */
static void damage_is_refused(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "b.lcf"),
         *bad = lcf_path_join(dir, "bad.lcf");
    lcf_err err = LCF_ERR_INIT;
    lcf_buf bytes = LCF_BUF_INIT;
    lcf_bundle *b;
    size_t refused = 0;

    (void)state;
    assert_ok(write_sample(path, &err), &err);
    assert_ok(lcf_file_read(&bytes, path, 1 << 20, &err), &err);
    for (size_t n = 0; n < bytes.len; n += 7) {
        assert_ok(lcf_file_write(bad, bytes.data, n, &err), &err);
        assert_int_not_equal(lcf_bundle_open(&b, bad, "sample", 2, &err), LCF_OK);
    }
    for (size_t i = 0; i < bytes.len; i += 3) {
        bytes.data[i] ^= 0x10;
        assert_ok(lcf_file_write(bad, bytes.data, bytes.len, &err), &err);
        if (lcf_bundle_open(&b, bad, "sample", 2, &err) == LCF_OK) {
            const lcf_array *a = lcf_bundle_find(b, "numbers");
            assert_non_null(a);
            assert_memory_equal(a->data, NUMBERS, sizeof(NUMBERS));
            lcf_bundle_close(b);
        } else {
            refused++;
        }
        bytes.data[i] ^= 0x10;
    }
    assert_true(refused > 150);
    lcf_buf_dispose(&bytes);
    free(bad);
    free(path);
    test_folder_remove(dir);
}

static void running_out_of_memory_is_an_error(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "b.lcf");
    lcf_err err = LCF_ERR_INIT;
    lcf_bundle *b = NULL;
    lcf_status status;
    uint64_t n = 1;

    (void)state;
    for (;; n++) {
        lcf_alloc_fail_at(n);
        status = write_sample(path, &err);
        if (!status)
            status = lcf_bundle_open(&b, path, "sample", 2, &err);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    assert_true(n > 3);
    lcf_bundle_close(b);
    free(path);
    test_folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
