/*
 * Status codes and error messages of every function that can fail.
 *
 * A function returns lcf_status: LCF_OK or a negative code. Cold functions also take a nullable
 * `lcf_err *err`, which receives the code, the place in the source and one sentence that says what
 * was wrong, where, and what to do about it. The first failure wins: a caller that adds context
 * uses lcf_err_prefix.
 */
#ifndef LCF_COMMON_BASE_STATUS_H
#define LCF_COMMON_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* name, number, text. Numbers are stable; add at the end. */
#define LCF_STATUS_LIST(X)                         \
    X(LCF_OK, 0, "ok")                             \
    X(LCF_EINVAL, -1, "invalid argument")          \
    X(LCF_ENOMEM, -2, "out of memory")             \
    X(LCF_EIO, -3, "input/output error")           \
    X(LCF_ENOENT, -4, "no such file")              \
    X(LCF_EFORMAT, -5, "malformed input")          \
    X(LCF_EVERSION, -6, "unsupported version")     \
    X(LCF_ECHECKSUM, -7, "checksum mismatch")      \
    X(LCF_ELIMIT, -8, "limit exceeded")            \
    X(LCF_EEXIST, -9, "already exists")            \
    X(LCF_EBUSY, -10, "in use by another process") \
    X(LCF_ENOSPC, -11, "no space left on device")  \
    X(LCF_ECANCELED, -12, "stopped by a signal")   \
    X(LCF_EGATE, -13, "gate not passed")           \
    X(LCF_ENOTFOUND, -14, "not found")             \
    X(LCF_EUNSUPPORTED, -15, "not supported")      \
    X(LCF_EUSAGE, -16, "wrong usage")              \
    X(LCF_EDIVERGED, -17, "training diverged")

typedef enum lcf_status {
#define LCF_STATUS_ENUM(name, number, text) name = number,
    LCF_STATUS_LIST(LCF_STATUS_ENUM)
#undef LCF_STATUS_ENUM
} lcf_status;

#define LCF_ERR_TEXT_MAX 1024

typedef struct lcf_err {
    lcf_status status;
    const char *file; /* static string */
    int line;
    char text[LCF_ERR_TEXT_MAX];
} lcf_err;

#define LCF_ERR_INIT  \
    {                 \
        LCF_OK, 0, 0, \
        {             \
            0         \
        }             \
    }

/* The text of a code, e.g. "no such file"; never NULL, static. */
const char *lcf_status_text(lcf_status status);

/*
 * The process exit code for a status: 0 done, 1 failed, 2 usage, 3 gate not passed, 75 try again
 * later (EX_TEMPFAIL).
 */
int lcf_status_exit_code(lcf_status status);

/* Fills *err (when not NULL) and returns `status`, so that a caller writes `return LCF_FAIL(err,
 * LCF_EIO, "...")`. */
lcf_status lcf_err_set(lcf_err *err, lcf_status status, const char *file, int line,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
#define LCF_FAIL(err, status, ...) lcf_err_set((err), (status), __FILE__, __LINE__, __VA_ARGS__)

/* As LCF_FAIL with the status that belongs to the current errno; appends strerror. */
lcf_status lcf_err_set_errno(lcf_err *err, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define LCF_FAIL_ERRNO(err, ...) lcf_err_set_errno((err), __FILE__, __LINE__, __VA_ARGS__)

/* Puts "<prefix>: " before the text of a set error; the status stays. */
void lcf_err_prefix(lcf_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An invariant of the program itself; on in all builds. Bad input is never an assertion. */
#define LCF_ASSERT(condition) \
    ((condition) ? (void)0 : lcf_assert_failed(#condition, __FILE__, __LINE__))
void lcf_assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
