/* Status, memory, strings, numbers, hashes, random numbers. */
#include "tests/unit/test.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <math.h>

static void status_texts_and_exit_codes(void **state)
{
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_string_equal(lcf_status_text(LCF_ECHECKSUM), "checksum mismatch");
    assert_int_equal(lcf_status_exit_code(LCF_OK), 0);
    assert_int_equal(lcf_status_exit_code(LCF_EIO), 1);
    assert_int_equal(lcf_status_exit_code(LCF_EUSAGE), 2);
    assert_int_equal(lcf_status_exit_code(LCF_EGATE), 3);
    assert_int_equal(lcf_status_exit_code(LCF_EBUSY), 75);
    assert_int_equal(LCF_FAIL(&err, LCF_EFORMAT, "row %d", 7), LCF_EFORMAT);
    lcf_err_prefix(&err, "%s", "file.csv");
    assert_string_equal(err.text, "file.csv: row 7");
    assert_int_equal(LCF_FAIL(NULL, LCF_EIO, "nobody listens"), LCF_EIO);
}

static void an_error_text_is_cut_not_overrun(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    char longer[3 * LCF_ERR_TEXT_MAX];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    LCF_FAIL(&err, LCF_EIO, "%s", longer);
    assert_int_equal(strlen(err.text), LCF_ERR_TEXT_MAX - 1);
    lcf_err_prefix(&err, "%s", longer);
    assert_int_equal(strlen(err.text), LCF_ERR_TEXT_MAX - 1);
}

static void allocations_fail_when_told(void **state)
{
    void *p;

    (void)state;
    lcf_alloc_fail_at(2);
    p = lcf_alloc(1, 1);
    assert_non_null(p);
    free(p);
    assert_null(lcf_alloc(1, 1));
    lcf_alloc_fail_at(0);
    p = lcf_alloc(1, 1);
    assert_non_null(p);
    free(p);
    assert_null(lcf_alloc(SIZE_MAX / 2, 3));
}

static void an_arena_reuses_its_blocks(void **state)
{
    lcf_arena *arena;
    size_t bytes;
    char *a, *b;

    (void)state;
    assert_int_equal(lcf_arena_create(&arena, 4096), LCF_OK);
    a = lcf_arena_alloc(arena, 100, 1);
    b = lcf_arena_alloc(arena, 100000, 1);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal((uintptr_t)a % 64, 0);
    memset(a, 1, 100);
    memset(b, 2, 100000);
    assert_int_equal(a[99], 1);
    bytes = lcf_arena_bytes(arena);
    for (int i = 0; i < 100; i++) {
        lcf_arena_reset(arena);
        assert_non_null(lcf_arena_alloc(arena, 100, 1));
        assert_non_null(lcf_arena_alloc(arena, 100000, 1));
    }
    assert_int_equal(lcf_arena_bytes(arena), bytes);
    assert_null(lcf_arena_alloc(arena, SIZE_MAX, 2));
    lcf_arena_free(arena);
}

static void expect_f32(float value)
{
    lcf_buf buf = LCF_BUF_INIT;
    char text[64];

    snprintf(text, sizeof(text), "%.9g", (double)value);
    lcf_buf_append_f32(&buf, value);
    assert_string_equal(lcf_buf_text(&buf), text);
    lcf_buf_dispose(&buf);
}

static float of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* As printf writes them: around every power of ten and two, and thousands between. */
static void numbers_are_as_printf_writes_them(void **state)
{
    static const float edges[] = {0.0f, 1.0f, 0.5f, 0.1f, 0.01f, 0.001f, 1e-4f, 1e-5f, 0.75f};
    lcf_buf buf = LCF_BUF_INIT;
    char text[64];
    lcf_rng rng;

    (void)state;
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        uint32_t bits;

        memcpy(&bits, &edges[i], sizeof(bits));
        for (uint32_t near = bits < 40 ? 0 : bits - 40; near < bits + 40; near++)
            expect_f32(of_bits(near));
    }
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < 20000; i++) { /* exponents from 2^-20 to 2^3, both signs */
        const uint32_t bits = (uint32_t)lcf_rng_u64(&rng);

        expect_f32(of_bits((bits & 0x807fffffu) | (107 + (bits >> 23) % 24) << 23));
    }
    for (unsigned shift = 0; shift < 64; shift++) {
        const uint64_t value = UINT64_MAX >> shift;

        lcf_buf_reset(&buf);
        lcf_buf_append_u64(&buf, value);
        lcf_buf_append_u64(&buf, value % 10);
        snprintf(text, sizeof(text), "%" PRIu64 "%" PRIu64, value, value % 10);
        assert_string_equal(lcf_buf_text(&buf), text);
    }
    lcf_buf_dispose(&buf);
}

static void a_buffer_remembers_its_failure(void **state)
{
    lcf_buf buf = LCF_BUF_INIT;
    char *text;

    (void)state;
    lcf_buf_printf(&buf, "%s-%d", "a", 1);
    lcf_buf_append_char(&buf, '!');
    assert_string_equal(lcf_buf_text(&buf), "a-1!");
    text = lcf_buf_take(&buf);
    assert_string_equal(text, "a-1!");
    free(text);
    lcf_alloc_fail_at(1);
    lcf_buf_append_text(&buf, "x");
    lcf_alloc_fail_at(0);
    lcf_buf_append_text(&buf, "y");
    assert_int_equal(buf.status, LCF_ENOMEM);
    assert_null(lcf_buf_take(&buf));
}

static void numbers_are_whole_strings(void **state)
{
    uint64_t u;
    int64_t i;
    double d;

    (void)state;
    assert_true(lcf_parse_u64("18446744073709551615", 20, &u));
    assert_true(u == UINT64_MAX);
    assert_false(lcf_parse_u64("18446744073709551616", 20, &u));
    assert_false(lcf_parse_u64("", 0, &u));
    assert_false(lcf_parse_u64("1 ", 2, &u));
    assert_true(lcf_parse_i64("-9223372036854775808", 20, &i));
    assert_true(i == INT64_MIN);
    assert_false(lcf_parse_i64("9223372036854775808", 19, &i));
    assert_true(lcf_parse_f64("3.5", 3, &d));
    assert_true(d == 3.5);
    assert_true(lcf_parse_f64("-1e-3", 5, &d));
    assert_true(d == -1e-3);
    assert_true(lcf_parse_f64("0.1234567890123456789", 21, &d));
    assert_true(d == 0.1234567890123456789);
    assert_false(lcf_parse_f64("nan", 3, &d));
    assert_false(lcf_parse_f64("1e999", 5, &d));
    assert_false(lcf_parse_f64("0x10", 4, &d));
    assert_false(lcf_parse_f64(".", 1, &d));
    assert_false(lcf_parse_f64("1.2.3", 5, &d));
}

static void utf8_is_checked_as_unicode_says(void **state)
{
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    assert_true(lcf_utf8_valid("caf\xC3\xA9 \xF0\x9F\x8E\xAC", 10));
    assert_false(lcf_utf8_valid("\xC0\x80", 2));         /* overlong */
    assert_false(lcf_utf8_valid("\xED\xA0\x80", 3));     /* surrogate */
    assert_false(lcf_utf8_valid("\xF4\x90\x80\x80", 4)); /* above U+10FFFF */
    assert_false(lcf_utf8_valid("\xE2\x82", 2));         /* cut */
    lcf_buf_append_utf8(&out, "\x80 caf\xC3\xA9\xE2\x82", 9);
    assert_string_equal(lcf_buf_text(&out), "\xEF\xBF\xBD caf\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD");
    lcf_buf_dispose(&out);
}

static void hashes_have_their_published_values(void **state)
{
    char hex[LCF_SHA256_HEX_BYTES], hex128[33];
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_sha256_hex(hex, "abc", 3, &err), &err);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(lcf_hash64("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    lcf_hash128_hex(hex128, lcf_hash128_of("", 0));
    assert_string_equal(hex128, "99aa06d3014798d86001c324468d497f");
}

static void random_numbers_repeat_and_spread(void **state)
{
    lcf_rng a, b, c;
    double sum = 0, squares = 0;
    uint32_t counts[6] = {0};

    (void)state;
    lcf_rng_seed(&a, 7, 0);
    lcf_rng_seed(&b, 7, 0);
    lcf_rng_seed(&c, 7, 1);
    for (int i = 0; i < 100; i++)
        assert_true(lcf_rng_u64(&a) == lcf_rng_u64(&b));
    assert_true(lcf_rng_u64(&a) != lcf_rng_u64(&c));
    for (int i = 0; i < 60000; i++) {
        double x = lcf_rng_normal(&a);
        sum += x;
        squares += x * x;
        counts[lcf_rng_below(&b, 6)]++;
    }
    assert_true(fabs(sum / 60000) < 0.02);
    assert_true(fabs(squares / 60000 - 1) < 0.03);
    for (int i = 0; i < 6; i++)
        assert_true(counts[i] > 9500 && counts[i] < 10500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_texts_and_exit_codes),
        cmocka_unit_test(an_error_text_is_cut_not_overrun),
        cmocka_unit_test(allocations_fail_when_told),
        cmocka_unit_test(an_arena_reuses_its_blocks),
        cmocka_unit_test(numbers_are_as_printf_writes_them),
        cmocka_unit_test(a_buffer_remembers_its_failure),
        cmocka_unit_test(numbers_are_whole_strings),
        cmocka_unit_test(utf8_is_checked_as_unicode_says),
        cmocka_unit_test(hashes_have_their_published_values),
        cmocka_unit_test(random_numbers_repeat_and_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
