/*
 * Turns as ShareGPT's files say them, and texts compared.
 */
#ifndef LCF_TESTS_UNIT_RECGEN_DIALOGUE_TEXT_H
#define LCF_TESTS_UNIT_RECGEN_DIALOGUE_TEXT_H

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define TURN(from, value) "{\"from\": \"" from "\", \"value\": \"" value "\"}"

static inline void same(lcf_str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.data, want, got.len);
}

#endif
