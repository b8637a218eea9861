/* The ledger of a night: what was added is read, also around a line that was cut. */
#include "tests/unit/test.h"

#include "offline/night/ledger.h"

#include <sys/stat.h>
#include <unistd.h>

static void add(const char *dir, int number)
{
    json_t *line = json_pack("{s:i}", "number", number);
    lcf_err err = LCF_ERR_INIT;

    assert_ok(ledger_add(dir, line, &err), &err);
    json_decref(line);
}

/* The numbers of the lines must be 1 to n. */
static void assert_lines(const char *dir, size_t n)
{
    json_t *lines;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(ledger_read(&lines, dir, &err), &err);
    assert_int_equal(json_array_size(lines), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, i), "number")),
                         i + 1);
    json_decref(lines);
}

/* A crash cut the last line, by one byte, by more, and to nothing but its beginning; the night goes
 * on. */
static void test_torn_line(void **state)
{
    char *dir = test_folder(), *path = lcf_path_join(dir, "steps.jsonl");
    struct stat whole, torn;

    (void)state;
    assert_lines(dir, 0);
    add(dir, 1);
    assert_int_equal(stat(path, &whole), 0);
    for (off_t lost = 1; lost < whole.st_size; lost++) {
        add(dir, 2);
        assert_lines(dir, 2);
        assert_int_equal(stat(path, &torn), 0);
        assert_int_equal(truncate(path, torn.st_size - lost), 0);
        assert_lines(dir, 1);
        add(dir, 2);
        assert_lines(dir, 2);
        assert_int_equal(truncate(path, whole.st_size), 0);
    }
    assert_int_equal(truncate(path, 3), 0); /* the only line */
    add(dir, 1);
    assert_lines(dir, 1);
    free(path);
    test_folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_torn_line)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
