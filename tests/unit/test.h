/*
 * What every unit test includes: cmocka in the order it needs, a folder of its own that goes away
 * afterwards, and a process of its own that dies.
 */
#ifndef LCF_TESTS_UNIT_TEST_H
#define LCF_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fails with the message of the error instead of a bare number. */
#define assert_ok(call, err)                                                                  \
    do {                                                                                      \
        if ((call) != LCF_OK)                                                                 \
            fail_msg("%s:%d: %s", (err)->file ? (err)->file : "?", (err)->line, (err)->text); \
    } while (0)

/* A new empty folder under TMPDIR; free() the path after test_folder_remove. */
static inline char *test_folder(void)
{
    const char *root = getenv("TMPDIR");
    char *path = lcf_path_join(root ? root : "/tmp", "lcf-test-XXXXXX");

    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void test_folder_remove(char *path)
{
    assert_int_equal(lcf_dir_remove(path, NULL), LCF_OK);
    free(path);
}

/*
 * True in a new process, which is to end somewhere on its way by _exit(0), as a kill would, and by
 * _exit(1) where it did not; false in the caller's, once that has ended as it should:
 *
 *   if (test_in_dying_process()) { train(...); _exit(1); }
 */
static inline bool test_in_dying_process(void)
{
    const pid_t child = fork();
    int how;

    assert_true(child >= 0);
    if (!child)
        return true;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    return false;
}

#endif
