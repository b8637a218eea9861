/*
 * The golden artefact of schemas/examples/artefact: a bundle with every type and a manifest over
 * it, as written by this very program (LCF_WRITE_GOLDEN=1 writes it anew, for a new version of a
 * format).
 */
#include "tests/unit/test.h"

#include "common/base/bundle.h"
#include "common/base/json.h"
#include "common/base/manifest.h"

#define GOLDEN_ID "0154faed0692f106de46f363e782b96b2cec521bcea94af8c3cf5b14ccdf7408"

static const uint8_t U8[] = {0, 127, 255};
static const uint32_t U32[] = {0, 1, 2, 3, 4, UINT32_MAX};
static const uint64_t U64[] = {0, UINT64_MAX};
static const int32_t I32[] = {INT32_MIN, -1, INT32_MAX};
static const int64_t I64[] = {INT64_MIN, -1, INT64_MAX};
static const float F32[] = {-0.5f, 1e-3f, 3e38f};
static const int16_t I16[] = {INT16_MIN, 0, INT16_MAX};
static const double F64[] = {-0.5, 1e-300, 0.1};

static char *golden(void)
{
    return lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/artefact");
}

static lcf_status write_numbers(const char *path, lcf_err *err)
{
    const uint64_t dims[2] = {2, 3};
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, "numbers", 7, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "u8", LCF_U8, 3, U8, err);
    if (!status)
        status = lcf_bundle_add(w, "u32", LCF_U32, dims, 2, U32, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "u64", LCF_U64, 2, U64, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "i32", LCF_I32, 3, I32, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "i64", LCF_I64, 3, I64, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "f32", LCF_F32, 3, F32, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "f64", LCF_F64, 3, F64, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "i16", LCF_I16, 3, I16, err);
    if (!status)
        status = lcf_bundle_add_text(w, "text", "{\"caf\xc3\xa9\": 1}", err);
    return status ? status : lcf_bundle_commit(w, err);
}

static lcf_status write_artefact(const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "numbers.lcf");
    lcf_manifest *m;
    lcf_status status = lcf_dir_create(dir, err);

    if (!status)
        status = write_numbers(path, err);
    if (!status)
        status = lcf_manifest_create(&m, "example", err);
    if (!status)
        status = lcf_manifest_param_i64(m, "seed", 2023, err);
    if (!status)
        status = lcf_manifest_param_f64(m, "share", 0.1, err);
    if (!status)
        status = lcf_manifest_param_str(m, "mode", "strict", err);
    if (!status)
        status = lcf_manifest_input(m, "numbers", path, err);
    if (!status)
        status = lcf_manifest_stat(m, "rows", json_integer(3), err);
    if (!status) {
        status = lcf_manifest_write(m, dir, err);
        lcf_manifest_free(m);
    }
    free(path);
    return status;
}

static void expect_array(const lcf_bundle *b, const char *name, lcf_dtype dtype, const void *data,
                         size_t bytes)
{
    const lcf_array *a = lcf_bundle_find(b, name);

    assert_non_null(a);
    assert_int_equal(a->dtype, dtype);
    assert_int_equal(a->n * lcf_dtype_bytes(dtype), bytes);
    assert_int_equal((uintptr_t)a->data % 64, 0);
    assert_memory_equal(a->data, data, bytes);
}

static void golden_bundle_is_read(void **state)
{
    char *dir = golden(), *path = lcf_path_join(dir, "numbers.lcf"), *text;
    lcf_bundle *b;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_bundle_open(&b, path, "numbers", 7, &err), &err);
    assert_int_equal(lcf_bundle_version(b), 7);
    assert_int_equal(lcf_bundle_arrays_n(b), 9);
    expect_array(b, "u8", LCF_U8, U8, sizeof(U8));
    expect_array(b, "u32", LCF_U32, U32, sizeof(U32));
    expect_array(b, "u64", LCF_U64, U64, sizeof(U64));
    expect_array(b, "i32", LCF_I32, I32, sizeof(I32));
    expect_array(b, "i64", LCF_I64, I64, sizeof(I64));
    expect_array(b, "f32", LCF_F32, F32, sizeof(F32));
    expect_array(b, "f64", LCF_F64, F64, sizeof(F64));
    expect_array(b, "i16", LCF_I16, I16, sizeof(I16));
    assert_int_equal(lcf_bundle_find(b, "u32")->dims[1], 3);
    assert_ok(lcf_bundle_get_text(&text, b, "text", &err), &err);
    assert_string_equal(text, "{\"caf\xc3\xa9\": 1}");
    lcf_bundle_close(b);
    assert_int_equal(lcf_bundle_open(&b, path, "numbers", 6, &err), LCF_EVERSION);
    assert_int_equal(lcf_bundle_open(&b, path, "letters", 7, &err), LCF_EFORMAT);
    free(text);
    free(path);
    free(dir);
}

static void golden_manifest_is_verified(void **state)
{
    char *dir = golden(), id[65];
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_manifest_verify(dir, &err), &err);
    assert_ok(lcf_manifest_read(id, NULL, dir, &err), &err);
    assert_string_equal(id, GOLDEN_ID);
    free(dir);
}

/* Writing it again gives the same bytes. */
static void written_as_ever(void **state)
{
    static const char *const names[] = {"numbers.lcf", "manifest.json"};
    char *dir = golden(), *fresh = test_folder();
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(write_artefact(fresh, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        char *a = lcf_path_join(dir, names[i]), *b = lcf_path_join(fresh, names[i]);
        lcf_buf x = LCF_BUF_INIT, y = LCF_BUF_INIT;
        assert_ok(lcf_file_read(&x, a, 1 << 16, &err), &err);
        assert_ok(lcf_file_read(&y, b, 1 << 16, &err), &err);
        assert_int_equal(x.len, y.len);
        assert_memory_equal(x.data, y.data, x.len);
        lcf_buf_dispose(&x);
        lcf_buf_dispose(&y);
        free(a);
        free(b);
    }
    test_folder_remove(fresh);
    free(dir);
}

static int write_golden(void)
{
    char *dir = golden();
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = write_artefact(dir, &err);

    if (status)
        fprintf(stderr, "%s\n", err.text);
    free(dir);
    return status != LCF_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bundle_is_read),
        cmocka_unit_test(golden_manifest_is_verified),
        cmocka_unit_test(written_as_ever),
    };

    if (getenv("LCF_WRITE_GOLDEN"))
        return write_golden();
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
