/* The row parser: CSV quoting, tab-separated lines, and what it says about rows it cannot read. */
#include "offline/data/rows.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void start(lcf_rows *rows, const char *text, char separator)
{
    assert_int_equal(lcf_rows_init(rows, text, strlen(text), separator, separator == ',', NULL),
                     LCF_OK);
}

/* The next row is good, starts at `line`, and its fields joined by '^' are `expected`. */
static void row_is(lcf_rows *rows, size_t line, const char *expected)
{
    lcf_buf joined = LCF_BUF_INIT;

    assert_int_equal(lcf_rows_next(rows), LCF_ROW_OK);
    assert_int_equal(rows->line, line);
    for (size_t i = 0; i < rows->fields_n; i++) {
        if (i)
            lcf_buf_append_char(&joined, '^');
        lcf_buf_append(&joined, rows->fields[i].data, rows->fields[i].len);
    }
    assert_string_equal(lcf_buf_text(&joined), expected);
    lcf_buf_dispose(&joined);
}

static void row_is_bad(lcf_rows *rows, size_t line, const char *reason)
{
    assert_int_equal(lcf_rows_next(rows), LCF_ROW_BAD);
    assert_int_equal(rows->line, line);
    assert_non_null(strstr(rows->reason, reason));
}

static void ends(lcf_rows *rows)
{
    assert_int_equal(lcf_rows_next(rows), LCF_ROW_END);
    assert_int_equal(lcf_rows_next(rows), LCF_ROW_END);
    lcf_rows_dispose(rows);
}

static void test_csv(void **state)
{
    lcf_rows rows;

    (void)state;
    start(&rows,
          "\xef\xbb\xbfid,title\r\n1,\"American President, The (1995)\"\n"
          "2,\"a \"\"quoted\"\" word\"\n\n3,\"two\nlines\",x\n4,\n,\n\"\",\"\"\n\"5\"\r\n6",
          ',');
    row_is(&rows, 1, "id^title");
    row_is(&rows, 2, "1^American President, The (1995)");
    row_is(&rows, 3, "2^a \"quoted\" word");
    row_is(&rows, 5, "3^two\nlines^x");
    row_is(&rows, 7, "4^");
    row_is(&rows, 8, "^");
    row_is(&rows, 9, "^");
    row_is(&rows, 10, "5");
    row_is(&rows, 11, "6");
    ends(&rows);
}

static void test_csv_bad(void **state)
{
    lcf_rows rows;

    (void)state;
    start(&rows, "a,\"b\"c\nd,e\nf\"g\nh,i\n\"open,\nj,k\n", ',');
    row_is_bad(&rows, 1, "after a closing quote");
    row_is(&rows, 2, "d^e");
    row_is_bad(&rows, 3, "inside an unquoted field");
    row_is(&rows, 4, "h^i");
    row_is_bad(&rows, 5, "left open");
    row_is(&rows, 6, "j^k"); /* reading goes on at the next line */
    ends(&rows);
}

static void test_tsv(void **state)
{
    lcf_rows rows;

    (void)state;
    start(&rows, "a\tb\r\n\n\"x\t\"y\"\n\t\tz\nlast", '\t');
    row_is(&rows, 1, "a^b");
    row_is(&rows, 3, "\"x^\"y\"");
    row_is(&rows, 4, "^^z");
    row_is(&rows, 5, "last");
    ends(&rows);
    start(&rows, "", '\t');
    ends(&rows);
    start(&rows, "\n\r\n\r", '\t');
    ends(&rows);
}

static void test_limits(void **state)
{
    static const char separators[] = {',', '\t'};
    lcf_rows rows;
    size_t n = LCF_ROW_BYTES_MAX + 10;
    char *text = malloc(n + 8);

    (void)state;
    assert_non_null(text);
    for (size_t s = 0; s < sizeof(separators); s++) {
        memset(text, separators[s], LCF_ROW_FIELDS_MAX);
        memcpy(text + LCF_ROW_FIELDS_MAX, "\nb\n", 4);
        start(&rows, text, separators[s]);
        row_is_bad(&rows, 1, "256 fields");
        row_is(&rows, 2, "b");
        ends(&rows);
        memset(text, 'x', n);
        memcpy(text + n, "\nb\n", 4);
        start(&rows, text, separators[s]);
        row_is_bad(&rows, 1, "1 MiB");
        row_is(&rows, 2, "b");
        ends(&rows);
    }
    text[0] = '"';
    start(&rows, text, ',');
    row_is_bad(&rows, 1, "1 MiB");
    row_is(&rows, 2, "b");
    ends(&rows);
    free(text);
}

static void test_out_of_memory(void **state)
{
    lcf_rows rows;

    (void)state;
    lcf_alloc_fail_at(1);
    assert_int_equal(lcf_rows_init(&rows, "a", 1, ',', true, NULL), LCF_ENOMEM);
    lcf_alloc_fail_at(0);
    lcf_rows_dispose(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),           cmocka_unit_test(test_csv_bad),
        cmocka_unit_test(test_tsv),           cmocka_unit_test(test_limits),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
