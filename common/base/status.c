/* Status texts, exit codes and error messages. An lcf_err is always NUL-terminated, however long
 * its parts. */
#include "common/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *lcf_status_text(lcf_status status)
{
    switch (status) {
#define LCF_STATUS_CASE(name, number, text) \
    case name:                              \
        return text;
        LCF_STATUS_LIST(LCF_STATUS_CASE)
#undef LCF_STATUS_CASE
    }
    return "unknown status";
}

int lcf_status_exit_code(lcf_status status)
{
    switch (status) {
    case LCF_OK:
        return 0;
    case LCF_EUSAGE:
        return 2;
    case LCF_EGATE:
        return 3;
    case LCF_EBUSY:
    case LCF_ECANCELED:
        return 75;
    default:
        return 1;
    }
}

lcf_status lcf_err_set(lcf_err *err, lcf_status status, const char *file, int line,
                       const char *format, ...)
{
    va_list args;

    if (!err)
        return status;
    err->status = status;
    err->file = file;
    err->line = line;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return status;
}

static lcf_status status_of_errno(int error)
{
    switch (error) {
    case ENOENT:
        return LCF_ENOENT;
    case ENOMEM:
        return LCF_ENOMEM;
    case EEXIST:
    case ENOTEMPTY:
        return LCF_EEXIST;
    case ENOSPC:
    case EDQUOT:
        return LCF_ENOSPC;
    case EBUSY:
    case EWOULDBLOCK:
        return LCF_EBUSY;
    default:
        return LCF_EIO;
    }
}

lcf_status lcf_err_set_errno(lcf_err *err, const char *file, int line, const char *format, ...)
{
    int error = errno;
    lcf_status status = status_of_errno(error);
    char reason[128];
    size_t used;
    va_list args;

    if (!err)
        return status;
    err->status = status;
    err->file = file;
    err->line = line;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s",
             strerror_r(error, reason, sizeof(reason)));
    return status;
}

void lcf_err_prefix(lcf_err *err, const char *format, ...)
{
    char joined[2 * LCF_ERR_TEXT_MAX];
    size_t used;
    va_list args;

    if (!err || err->status == LCF_OK)
        return;
    va_start(args, format);
    vsnprintf(joined, LCF_ERR_TEXT_MAX, format, args);
    va_end(args);
    used = strlen(joined);
    snprintf(joined + used, sizeof(joined) - used, ": %s", err->text);
    memcpy(err->text, joined, sizeof(err->text) - 1);
    err->text[sizeof(err->text) - 1] = '\0';
}

void lcf_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
