/* The ledger of a night: see ledger.h. */
#include "offline/night/ledger.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/str.h"
#include "common/base/torn_line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LEDGER_BYTES_MAX = 16 << 20 };

static char *ledger_path(const char *night_dir)
{
    return lcf_path_join(night_dir, "steps.jsonl");
}

/* With the file locked: steps may end side by side. */
static lcf_status append(const char *path, const char *text, size_t n, lcf_err *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    lcf_status status = LCF_OK;

    if (fd >= 0)
        errno = ENOSPC; /* what a write means that falls short */
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || !lcf_cut_torn_line(fd) ||
        write(fd, text, n) != (ssize_t)n || fsync(fd) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    return status;
}

lcf_status ledger_add(const char *night_dir, const json_t *line, lcf_err *err)
{
    char *path = ledger_path(night_dir);
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    lcf_buf bytes = LCF_BUF_INIT;
    lcf_status status = lcf_dir_create(night_dir, err);

    if (text)
        lcf_buf_printf(&bytes, "%s\n", text);
    if (!status && (!path || !text || bytes.status))
        status = LCF_FAIL(err, LCF_ENOMEM, "a line of the ledger");
    if (!status)
        status = append(path, bytes.data, bytes.len, err);
    lcf_buf_dispose(&bytes);
    free(text);
    free(path);
    return status;
}

static lcf_status parse(json_t *lines, const lcf_buf *text, const char *path, lcf_err *err)
{
    const char *at = lcf_buf_text(text), *end;
    lcf_status status = LCF_OK;

    for (; !status && (end = strchr(at, '\n')); at = end + 1) {
        json_t *line;

        status = lcf_json_parse(&line, at, (size_t)(end - at), path, err);
        if (!status && !json_is_object(line)) {
            json_decref(line);
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: a line that is no object", path);
        } else if (!status && json_array_append_new(lines, line)) {
            status = LCF_FAIL(err, LCF_ENOMEM, "lines of %s", path);
        }
    }
    return status;
}

lcf_status ledger_read(json_t **out, const char *night_dir, lcf_err *err)
{
    char *path = ledger_path(night_dir);
    lcf_buf text = LCF_BUF_INIT;
    json_t *lines = json_array();
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!path || !lines)
        status = LCF_FAIL(err, LCF_ENOMEM, "the ledger of %s", night_dir);
    if (!status && lcf_path_exists(path))
        status = lcf_file_read(&text, path, LEDGER_BYTES_MAX, err);
    if (!status)
        status = parse(lines, &text, path, err);
    if (!status) {
        *out = lines;
        lines = NULL;
    }
    json_decref(lines);
    lcf_buf_dispose(&text);
    free(path);
    return status;
}
