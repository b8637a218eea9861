/* Files and folders that change atomically, locks, and manifests that notice every change. */
#include "tests/unit/test.h"

#include "common/base/manifest.h"
#include "common/base/mem.h"

static void write_text(const char *dir, const char *name, const char *text)
{
    lcf_err err = LCF_ERR_INIT;
    char *path = lcf_path_join(dir, name);

    assert_ok(lcf_file_write(path, text, strlen(text), &err), &err);
    free(path);
}

static void assert_text(const char *dir, const char *name, const char *expected)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_buf buf = LCF_BUF_INIT;
    char *path = lcf_path_join(dir, name);

    assert_ok(lcf_file_read(&buf, path, 1000, &err), &err);
    assert_string_equal(lcf_buf_text(&buf), expected);
    lcf_buf_dispose(&buf);
    free(path);
}

static void an_abandoned_output_leaves_the_old_file(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "a");
    lcf_err err = LCF_ERR_INIT;
    lcf_out *out;

    (void)state;
    write_text(dir, "a", "old");
    assert_ok(lcf_out_open(&out, path, &err), &err);
    fputs("new", lcf_out_stream(out));
    assert_text(dir, "a", "old");
    lcf_out_abandon(out);
    assert_text(dir, "a", "old");
    assert_ok(lcf_out_open(&out, path, &err), &err);
    fputs("new", lcf_out_stream(out));
    assert_ok(lcf_out_commit(out, &err), &err);
    assert_text(dir, "a", "new");
    free(path);
    test_folder_remove(dir);
}

static void a_folder_is_exchanged_whole(void **state)
{
    char *dir = test_folder(), *target = lcf_path_join(dir, "artefact/");
    lcf_err err = LCF_ERR_INIT;
    lcf_stage *stage;

    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_ok(lcf_stage_open(&stage, target, &err), &err);
        write_text(lcf_stage_path(stage), "round", round ? "1" : "0");
        write_text(lcf_stage_path(stage), "manifest.json", "{}");
        if (round == 0)
            write_text(lcf_stage_path(stage), "only-first", "x");
        assert_ok(lcf_stage_commit(stage, &err), &err);
        assert_text(target, "round", round ? "1" : "0");
    }
    assert_text(dir, "artefact/round", "1");
    {
        char *gone = lcf_path_join(target, "only-first");
        assert_false(lcf_path_exists(gone));
        free(gone);
    }
    assert_ok(lcf_stage_open(&stage, target, &err), &err);
    lcf_stage_abandon(stage);
    assert_text(target, "round", "1");
    free(target);
    test_folder_remove(dir);
}

static void a_folder_of_others_is_not_replaced(void **state)
{
    char *dir = test_folder(), *target = lcf_path_join(dir, "home");
    lcf_err err = LCF_ERR_INIT;
    lcf_stage *stage;

    (void)state;
    assert_ok(lcf_dir_create(target, &err), &err);
    assert_ok(lcf_stage_open(&stage, target, &err), &err); /* empty: fine */
    lcf_stage_abandon(stage);
    write_text(target, "letter", "dear");
    assert_int_equal(lcf_stage_open(&stage, target, &err), LCF_EEXIST);
    assert_null(stage);
    assert_non_null(strstr(err.text, target));
    assert_text(target, "letter", "dear");
    free(target);
    test_folder_remove(dir);
}

static void a_lock_is_held_once(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "lock");
    lcf_err err = LCF_ERR_INIT;
    lcf_lock *first, *second;

    (void)state;
    assert_ok(lcf_lock_acquire(&first, path, &err), &err);
    assert_int_equal(lcf_lock_acquire(&second, path, &err), LCF_EBUSY);
    assert_non_null(strstr(err.text, path));
    lcf_lock_release(first);
    assert_ok(lcf_lock_acquire(&second, path, &err), &err);
    lcf_lock_release(second);
    free(path);
    test_folder_remove(dir);
}

static lcf_manifest *manifest_of(const char *input, int64_t seed)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_manifest *m;

    assert_ok(lcf_manifest_create(&m, "test", &err), &err);
    assert_ok(lcf_manifest_param_i64(m, "seed", seed, &err), &err);
    assert_ok(lcf_manifest_input(m, "input", input, &err), &err);
    return m;
}

static void a_manifest_knows_what_it_was_made_from(void **state)
{
    char *dir = test_folder(), *out = lcf_path_join(dir, "out"), *input = lcf_path_join(dir, "in");
    char id[65], again[65];
    lcf_err err = LCF_ERR_INIT;
    lcf_manifest *m;

    (void)state;
    write_text(dir, "in", "1");
    assert_ok(lcf_dir_create(out, &err), &err);
    write_text(out, "data", "payload");
    m = manifest_of(input, 7);
    assert_false(lcf_manifest_is_current(m, out));
    assert_ok(lcf_manifest_write(m, out, &err), &err);
    assert_true(lcf_manifest_is_current(m, out));
    assert_ok(lcf_manifest_read(id, NULL, out, &err), &err);
    assert_ok(lcf_manifest_write(m, out, &err), &err);
    assert_ok(lcf_manifest_read(again, NULL, out, &err), &err);
    assert_string_equal(id, again);
    lcf_manifest_free(m);
    m = manifest_of(input, 8);
    assert_false(lcf_manifest_is_current(m, out));
    lcf_manifest_free(m);
    write_text(dir, "in", "2");
    m = manifest_of(input, 7);
    assert_false(lcf_manifest_is_current(m, out));
    lcf_manifest_free(m);
    free(input);
    free(out);
    test_folder_remove(dir);
}

/* All at once is one by one: no input without a path, no parameter that is null, a truth as 1. */
static void a_step_describes_itself_at_once(void **state)
{
    char *dir = test_folder(), *input = lcf_path_join(dir, "in"), *out = lcf_path_join(dir, "out");
    const lcf_input inputs[] = {{"input", input}, {"other", NULL}, {NULL, NULL}};
    const lcf_input missing[] = {{"input", out}, {NULL, NULL}};
    lcf_err err = LCF_ERR_INIT;
    lcf_stage *stage;
    lcf_manifest *m, *one_by_one;

    (void)state;
    write_text(dir, "in", "x");
    assert_int_equal(lcf_manifest_describe(&m, "test", json_object(), missing, &err), LCF_ENOENT);
    assert_null(m);
    assert_int_equal(lcf_manifest_describe(&m, "test", NULL, inputs, &err), LCF_EINVAL);
    assert_null(m);
    one_by_one = manifest_of(input, 7);
    assert_ok(lcf_manifest_param_i64(one_by_one, "flag", 1, &err), &err);
    assert_ok(lcf_manifest_describe(
                  &m, "test", json_pack("{s:i, s:b, s:s?}", "seed", 7, "flag", 1, "name", NULL),
                  inputs, &err),
              &err);

    assert_ok(lcf_stage_open(&stage, out, &err), &err);
    assert_int_equal(lcf_manifest_finish(m, stage, LCF_ECANCELED, &err), LCF_ECANCELED);
    assert_false(lcf_path_exists(out));
    assert_int_equal(lcf_manifest_finish(m, NULL, LCF_EIO, &err), LCF_EIO);
    assert_ok(lcf_stage_open(&stage, out, &err), &err);
    assert_ok(lcf_manifest_finish(m, stage, LCF_OK, &err), &err);
    assert_true(lcf_manifest_is_current(one_by_one, out));
    assert_ok(lcf_manifest_verify(out, &err), &err);
    lcf_manifest_free(one_by_one);
    lcf_manifest_free(m);
    free(input);
    free(out);
    test_folder_remove(dir);
}

static void verify_names_the_damaged_file(void **state)
{
    char *dir = test_folder(), *out = lcf_path_join(dir, "out"), *input = lcf_path_join(dir, "in");
    lcf_err err = LCF_ERR_INIT;
    lcf_manifest *m;
    char *path;

    (void)state;
    write_text(dir, "in", "1");
    assert_ok(lcf_dir_create(out, &err), &err);
    path = lcf_path_join(out, "sub");
    assert_ok(lcf_dir_create(path, &err), &err);
    write_text(path, "data", "payload");
    free(path);
    m = manifest_of(input, 7);
    assert_ok(lcf_manifest_write(m, out, &err), &err);
    assert_ok(lcf_manifest_verify(out, &err), &err);
    write_text(out, "sub/data", "Payload");
    assert_int_equal(lcf_manifest_verify(out, &err), LCF_ECHECKSUM);
    assert_non_null(strstr(err.text, "sub/data"));
    path = lcf_path_join(out, "sub/data");
    assert_int_equal(remove(path), 0);
    free(path);
    assert_int_equal(lcf_manifest_verify(out, &err), LCF_ECHECKSUM);
    assert_non_null(strstr(err.text, "missing"));
    lcf_manifest_free(m);
    free(input);
    free(out);
    test_folder_remove(dir);
}

static bool is_there(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);
    const bool there = lcf_path_exists(path);

    free(path);
    return there;
}

/* What killed writers left goes; what somebody writes, and what is named almost alike, stays. */
static void leftovers_go(void **state)
{
    char *dir = test_folder(), *target = lcf_path_join(dir, "made"),
         *file = lcf_path_join(dir, "f");
    char *left = lcf_path_join(dir, "made.tmp.999999.0");
    char *other = lcf_path_join(dir, "made.tmp.backup");
    lcf_stage *first, *second;
    lcf_out *out, *another;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_dir_create(left, &err), &err);
    assert_ok(lcf_dir_create(other, &err), &err);
    write_text(left, "data", "x");
    write_text(other, "data", "x");
    write_text(dir, "f.tmp.999999.7", "x");
    assert_ok(lcf_stage_open(&first, target, &err), &err);
    assert_false(lcf_path_exists(left));
    assert_true(lcf_path_exists(other));
    assert_ok(lcf_stage_open(&second, target, &err), &err);
    assert_true(lcf_path_exists(lcf_stage_path(first)));
    lcf_stage_abandon(first);
    lcf_stage_abandon(second);
    assert_ok(lcf_out_open(&out, file, &err), &err);
    assert_false(is_there(dir, "f.tmp.999999.7"));
    assert_ok(lcf_out_open(&another, file, &err), &err);
    lcf_out_abandon(another);
    fputs("new", lcf_out_stream(out));
    assert_ok(lcf_out_commit(out, &err), &err);
    assert_text(dir, "f", "new");
    free(left);
    free(other);
    free(file);
    free(target);
    test_folder_remove(dir);
}

/* A writer that was killed once the new folder was in its place leaves the old one; the next run
 * has nothing to do, and removes it. */
static void what_is_current_has_no_leftovers(void **state)
{
    char *dir = test_folder(), *out = lcf_path_join(dir, "made"), *named = lcf_path_join(out, "");
    char *left = lcf_path_join(dir, "made.tmp.999999.0");
    lcf_manifest *other, *m;
    lcf_stage *stage;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_manifest_create(&m, "test", &err), &err);
    assert_ok(lcf_manifest_create(&other, "another", &err), &err);
    assert_ok(lcf_stage_open(&stage, out, &err), &err);
    assert_ok(lcf_manifest_finish(m, stage, LCF_OK, &err), &err);
    assert_ok(lcf_dir_create(left, &err), &err);
    write_text(left, "manifest.json", "{}");
    assert_false(lcf_manifest_is_current(other, named));
    assert_true(lcf_path_exists(left));
    assert_true(lcf_manifest_is_current(m, named));
    assert_false(lcf_path_exists(left));
    assert_true(lcf_manifest_is_current(m, out));
    lcf_manifest_free(m);
    lcf_manifest_free(other);
    free(left);
    free(named);
    free(out);
    test_folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abandoned_output_leaves_the_old_file),
        cmocka_unit_test(a_folder_is_exchanged_whole),
        cmocka_unit_test(a_folder_of_others_is_not_replaced),
        cmocka_unit_test(leftovers_go),
        cmocka_unit_test(what_is_current_has_no_leftovers),
        cmocka_unit_test(a_lock_is_held_once),
        cmocka_unit_test(a_manifest_knows_what_it_was_made_from),
        cmocka_unit_test(a_step_describes_itself_at_once),
        cmocka_unit_test(verify_names_the_damaged_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
