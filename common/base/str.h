/*
 * Growable byte strings and small string helpers.
 *
 * An lcf_buf is owned by its caller (init/dispose). Appending never fails visibly: the first failed
 * allocation is remembered and reported by lcf_buf_status, so that a text is built without a test
 * after every piece.
 */
#ifndef LCF_COMMON_BASE_STR_H
#define LCF_COMMON_BASE_STR_H

#include "common/base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_buf {
    char *data; /* NUL-terminated once something was appended; use lcf_buf_text for "" otherwise */
    size_t len;
    size_t capacity;
    lcf_status status;
} lcf_buf;

#define LCF_BUF_INIT    \
    {                   \
        0, 0, 0, LCF_OK \
    }

void lcf_buf_dispose(lcf_buf *buf);
void lcf_buf_reset(lcf_buf *buf);
void lcf_buf_append(lcf_buf *buf, const void *bytes, size_t n);
void lcf_buf_append_text(lcf_buf *buf, const char *text);
void lcf_buf_append_char(lcf_buf *buf, char c);
void lcf_buf_printf(lcf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same characters as of "%" PRIu64 and "%.9g", many times faster: for numbers by the hundred.
 */
void lcf_buf_append_u64(lcf_buf *buf, uint64_t value);
void lcf_buf_append_f32(lcf_buf *buf, float value);
/* Room for n more bytes at the end, for a caller that writes there and then advances by what it
 * wrote, at most n; NULL with the status remembered. */
char *lcf_buf_reserve(lcf_buf *buf, size_t n);
void lcf_buf_advance(lcf_buf *buf, size_t n);
/* The text, never NULL; valid until the next change. */
const char *lcf_buf_text(const lcf_buf *buf);
/* Hands the text over (free() releases it); NULL on an earlier failure. The buffer is empty
 * afterwards. */
char *lcf_buf_take(lcf_buf *buf);

/* True when the text ends so. */
bool lcf_ends_with(const char *text, const char *end);

/* A view of bytes that somebody else owns; not NUL-terminated. */
typedef struct lcf_str {
    const char *data;
    size_t len;
} lcf_str;

/* Whole-string number parsing: false when empty, trailing characters, out of range, NaN or
 * infinite. */
bool lcf_parse_u64(const char *s, size_t len, uint64_t *out);
bool lcf_parse_i64(const char *s, size_t len, int64_t *out);
bool lcf_parse_f64(const char *s, size_t len, double *out);

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool lcf_utf8_valid(const char *s, size_t len);
/* Appends the text as well-formed UTF-8: bytes of no character become U+FFFD, one each. */
void lcf_buf_append_utf8(lcf_buf *out, const char *text, size_t len);
/* Drops what is left of a character at the end of a text that was cut. */
void lcf_utf8_mend(char *text);

#endif
