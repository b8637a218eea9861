/* Parts of an artefact outlive the run that made them, for a run of the same identity alone. */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/partial.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct fixture {
    char *dir, *out, *partial;
    lcf_manifest *m;
} fixture;

static lcf_manifest *manifest_of(int seed)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_manifest *m;

    assert_ok(lcf_manifest_create(&m, "test", &err), &err);
    assert_ok(lcf_manifest_param_i64(m, "seed", seed, &err), &err);
    return m;
}

static int set_up(void **state)
{
    fixture *f = lcf_alloc_zero(1, sizeof(*f));

    f->dir = test_folder();
    f->out = lcf_path_join(f->dir, "made");
    f->partial = lcf_path_join(f->dir, "made.partial");
    f->m = manifest_of(1);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    lcf_manifest_free(f->m);
    free(f->partial);
    free(f->out);
    test_folder_remove(f->dir);
    free(f);
    return 0;
}

static bool has(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);
    const bool there = lcf_path_exists(path);

    free(path);
    return there;
}

static void write_part(const lcf_partial *p)
{
    lcf_err err = LCF_ERR_INIT;
    char *path = lcf_path_join(lcf_partial_path(p), "part");

    assert_ok(lcf_file_write(path, "x", 1, &err), &err);
    free(path);
}

/* Opens the parts of `artefact`, says whether one was there, and leaves one. */
static bool found(const char *artefact, lcf_manifest *m, bool fresh)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_partial *p;
    bool there;

    assert_ok(lcf_partial_open(&p, artefact, m, fresh, &err), &err);
    there = has(lcf_partial_path(p), "part");
    write_part(p);
    lcf_partial_close(p);
    return there;
}

/* The artefact was made at that time, in seconds since 1970. */
static void make_artefact(const fixture *f, time_t at)
{
    const struct timespec times[] = {{.tv_sec = at}, {.tv_sec = at}};
    char *manifest = lcf_path_join(f->out, "manifest.json");
    lcf_err err = LCF_ERR_INIT;
    lcf_stage *stage;

    assert_ok(lcf_stage_open(&stage, f->out, &err), &err);
    assert_ok(lcf_manifest_finish(f->m, stage, LCF_OK, &err), &err);
    assert_int_equal(utimensat(AT_FDCWD, manifest, times, 0), 0);
    free(manifest);
}

static void parts_are_of_one_identity(void **state)
{
    const fixture *f = *state;
    char *slash = lcf_path_join(f->out, "");
    lcf_manifest *other = manifest_of(2);

    assert_false(found(f->out, f->m, false));
    assert_true(found(f->out, f->m, false));
    assert_true(found(slash, f->m, false));
    assert_false(found(f->out, other, false));
    assert_false(found(f->out, f->m, false));
    assert_false(found(f->out, f->m, true));
    assert_false(lcf_path_exists(f->out));
    lcf_manifest_free(other);
    free(slash);
}

static void one_at_a_time(void **state)
{
    const fixture *f = *state;
    lcf_err err = LCF_ERR_INIT;
    lcf_partial *p, *second;

    assert_ok(lcf_partial_open(&p, f->out, f->m, false, &err), &err);
    write_part(p);
    assert_int_equal(lcf_partial_open(&second, f->out, f->m, true, &err), LCF_EBUSY);
    assert_null(second);
    assert_true(has(f->partial, "part"));
    assert_ok(lcf_partial_remove(p, &err), &err);
    lcf_partial_close(p);
    assert_false(lcf_path_exists(f->partial));
    assert_false(found(f->out, f->m, false));
    assert_int_equal(lcf_partial_open(&p, "/proc/none/made", f->m, false, &err), LCF_ENOENT);
}

/* A process that was killed holds its lock for a moment longer. */
static void one_that_is_going_is_waited_for(void **state)
{
    const fixture *f = *state;
    lcf_err err = LCF_ERR_INIT;
    lcf_partial *p;
    int ready[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct timespec moment = {.tv_nsec = 200000000};

        if (lcf_partial_open(&p, f->out, f->m, false, &err) || write(ready[1], "x", 1) != 1)
            _exit(1);
        nanosleep(&moment, NULL);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_ok(lcf_partial_open(&p, f->out, f->m, false, &err), &err);
    lcf_partial_close(p);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}

/* A run killed between the artefact's appearance and the removal of its parts. */
static void a_leftover_goes(void **state)
{
    const fixture *f = *state;
    lcf_err err = LCF_ERR_INIT;
    lcf_partial *p;

    found(f->out, f->m, false);
    make_artefact(f, time(NULL) + 10);
    assert_ok(lcf_partial_open(&p, f->out, f->m, false, &err), &err);
    assert_true(lcf_manifest_is_current(f->m, f->out));
    assert_true(has(f->partial, "part")); /* somebody works on it */
    lcf_partial_close(p);
    assert_true(lcf_manifest_is_current(f->m, f->out));
    assert_false(lcf_path_exists(f->partial));
    make_artefact(f, 1);
    found(f->out, f->m, false); /* younger than the artefact */
    assert_true(lcf_manifest_is_current(f->m, f->out));
    assert_true(has(f->partial, "part"));
}

/* Older than the artefact, but parts of another one, or no parts. */
static void what_is_no_leftover_stays(void **state)
{
    const fixture *f = *state;
    lcf_manifest *other = manifest_of(2);
    lcf_err err = LCF_ERR_INIT;
    char *file;

    found(f->out, other, false);
    make_artefact(f, time(NULL) + 10);
    assert_true(lcf_manifest_is_current(f->m, f->out));
    assert_true(has(f->partial, "part"));
    assert_ok(lcf_dir_remove(f->partial, &err), &err);
    assert_ok(lcf_dir_create(f->partial, &err), &err);
    file = lcf_path_join(f->partial, "file");
    assert_ok(lcf_file_write(file, "x", 1, &err), &err);
    assert_ok(lcf_manifest_write(f->m, f->partial, &err), &err); /* an artefact of that name */
    assert_true(lcf_manifest_is_current(f->m, f->out));
    assert_true(has(f->partial, "file"));
    free(file);
    lcf_manifest_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_are_of_one_identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_going_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_leftover_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_leftover_stays, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
