/* The request log over restarts of the server. */
#include "common/base/file.h"
#include "online/server/request_log.h"
#include "tests/unit/test.h"

/* A server that was killed in the middle of a line: the next one begins a line of its own. */
static void test_torn_line(void **state)
{
    static const char *const left[] = {"", "{}\n", "{}\n{\"kind\"", "{\"ki"};
    static const char *const kept[] = {"", "{}\n", "{}\n", ""};
    char *dir = test_folder(), *path = lcf_path_join(dir, "requests.jsonl");
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        lcf_buf bytes = LCF_BUF_INIT;
        lcf_request_log *log;

        assert_ok(lcf_file_write(path, left[i], strlen(left[i]), &err), &err);
        assert_ok(lcf_request_log_open(&log, path, 1.0, 1 << 20, &err), &err);
        lcf_request_log_close(log);
        assert_ok(lcf_file_read(&bytes, path, 1 << 20, &err), &err);
        assert_string_equal(lcf_buf_text(&bytes), kept[i]);
        lcf_buf_dispose(&bytes);
    }
    /* What is no file of lines is written as it is. */
    lcf_request_log *log;
    assert_ok(lcf_request_log_open(&log, "/dev/null", 1.0, 1 << 20, &err), &err);
    lcf_request_log_close(log);
    assert_int_equal(lcf_request_log_open(&log, dir, 1.0, 1 << 20, &err), LCF_EIO);
    free(path);
    test_folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_torn_line)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
