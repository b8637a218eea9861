/*
 * What every unit test includes: cmocka in the order it needs, and a folder of its own that goes
 * away afterwards.
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

#endif
