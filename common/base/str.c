/* Growable strings, number parsing, UTF-8 validation. A buffer with a failed status stays readable
 * and ignores appends. */
#include "common/base/str.h"

#include "common/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lcf_buf_dispose(lcf_buf *buf)
{
    free(buf->data);
    *buf = (lcf_buf)LCF_BUF_INIT;
}

void lcf_buf_reset(lcf_buf *buf)
{
    buf->len = 0;
    buf->status = LCF_OK;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static bool buf_reserve(lcf_buf *buf, size_t n)
{
    size_t wanted;

    if (buf->status)
        return false;
    if (n < buf->capacity - buf->len)
        return true;
    if (!lcf_add_size(&wanted, buf->len, n) || !lcf_add_size(&wanted, wanted, 1) ||
        lcf_grow((void **)&buf->data, &buf->capacity, wanted, 1))
        buf->status = LCF_ENOMEM;
    return !buf->status;
}

void lcf_buf_append(lcf_buf *buf, const void *bytes, size_t n)
{
    if (!buf_reserve(buf, n))
        return;
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

char *lcf_buf_reserve(lcf_buf *buf, size_t n)
{
    return buf_reserve(buf, n) ? buf->data + buf->len : NULL;
}

void lcf_buf_advance(lcf_buf *buf, size_t n)
{
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void lcf_buf_append_text(lcf_buf *buf, const char *text)
{
    lcf_buf_append(buf, text, strlen(text));
}

void lcf_buf_append_char(lcf_buf *buf, char c)
{
    lcf_buf_append(buf, &c, 1);
}

void lcf_buf_printf(lcf_buf *buf, const char *format, ...)
{
    va_list args;
    size_t room;
    int n;

    if (!buf_reserve(buf, 0))
        return;
    room = buf->capacity - buf->len;
    va_start(args, format);
    n = vsnprintf(buf->data + buf->len, room, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n >= room) { /* once more, with room for it */
        buf->data[buf->len] = '\0';
        if (!buf_reserve(buf, (size_t)n))
            return;
        va_start(args, format);
        n = vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n < 0) {
        buf->data[buf->len] = '\0';
        buf->status = LCF_EINVAL;
        return;
    }
    buf->len += (size_t)n;
}

/* The last n decimal digits of value, with leading zeros. */
static void put_digits(char *out, uint64_t value, size_t n)
{
    while (n-- > 0) {
        out[n] = (char)('0' + value % 10);
        value /= 10;
    }
}

void lcf_buf_append_u64(lcf_buf *buf, uint64_t value)
{
    char text[20];
    size_t n = 1;

    for (uint64_t rest = value; rest >= 10; rest /= 10)
        n++;
    put_digits(text, value, n);
    lcf_buf_append(buf, text, n);
}

/*
 * 0.zeros digits of a value in [1e-4, 1), without trailing zeros: the nine digits are m 10^p / 2^s,
 * rounded to even, all of it exact in 64 bits. They never round up to a tenth one: below a power of
 * ten the next f32 is farther away than that.
 */
static size_t print_fraction(char *out, float value)
{
    static const uint64_t POWERS[] = {1000000000, 10000000000, 100000000000, 1000000000000};
    const size_t zeros = ((double)value < 0.1) + ((double)value < 0.01) + ((double)value < 0.001);
    uint32_t bits;
    uint64_t product, digits, rest, half;
    unsigned shift;
    size_t n = 2 + zeros + 9;

    memcpy(&bits, &value, sizeof(bits));
    shift = 127 + 23 - (bits >> 23);
    product = ((bits & 0x7fffffu) | 0x800000u) * POWERS[zeros];
    digits = product >> shift;
    rest = product - (digits << shift);
    half = (uint64_t)1 << (shift - 1);
    digits += rest > half || (rest == half && (digits & 1));
    memcpy(out, "0.000", 5);
    put_digits(out + 2 + zeros, digits, 9);
    while (out[n - 1] == '0')
        n--;
    return n;
}

void lcf_buf_append_f32(lcf_buf *buf, float value)
{
    char text[16];

    if ((double)value >= 1e-4 && value < 1.0f)
        lcf_buf_append(buf, text, print_fraction(text, value));
    else
        lcf_buf_printf(buf, "%.9g", (double)value);
}

const char *lcf_buf_text(const lcf_buf *buf)
{
    return buf->data ? buf->data : "";
}

char *lcf_buf_take(lcf_buf *buf)
{
    char *text = NULL;

    if (!buf->status && buf_reserve(buf, 0)) {
        buf->data[buf->len] = '\0';
        text = buf->data;
        buf->data = NULL;
    }
    lcf_buf_dispose(buf);
    return text;
}

bool lcf_parse_u64(const char *s, size_t len, uint64_t *out)
{
    uint64_t value = 0;

    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool lcf_parse_i64(const char *s, size_t len, int64_t *out)
{
    bool negative = len && s[0] == '-';
    uint64_t magnitude;

    if (!lcf_parse_u64(s + negative, len - negative, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/* Plain decimals of up to 15 digits, the common case of logs, exactly: the digits and the power of
 * ten are exact doubles. */
static bool parse_short_decimal(const char *s, size_t len, double *out)
{
    static const double POWER[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = len && s[0] == '-';
    uint64_t digits = 0;
    size_t digits_n = 0, fraction_n = 0;
    bool point = false;

    for (size_t i = negative; i < len; i++) {
        if (s[i] == '.' && !point) {
            point = true;
        } else if (s[i] >= '0' && s[i] <= '9') {
            digits = digits * 10 + (uint64_t)(s[i] - '0');
            digits_n++;
            fraction_n += point;
            if (digits_n > 15)
                return false;
        } else {
            return false;
        }
    }
    if (!digits_n)
        return false;
    *out = (double)digits / POWER[fraction_n];
    if (negative)
        *out = -*out;
    return true;
}

bool lcf_parse_f64(const char *s, size_t len, double *out)
{
    char copy[64], *end;

    if (parse_short_decimal(s, len, out))
        return true;
    if (!len || len >= sizeof(copy) || isspace((unsigned char)s[0]) || memchr(s, 'x', len) ||
        memchr(s, 'X', len))
        return false;
    memcpy(copy, s, len);
    copy[len] = '\0';
    errno = 0;
    *out = strtod(copy, &end);
    return end == copy + len && isfinite(*out);
}

/* Length of the well-formed sequence at s, 0 when malformed. source: Unicode 15, table 3-7 */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        n = 2;
    } else if ((s[0] & 0xF0) == 0xE0) {
        n = 3;
        low = s[0] == 0xE0 ? 0xA0 : 0x80;
        high = s[0] == 0xED ? 0x9F : 0xBF;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        n = 4;
        low = s[0] == 0xF0 ? 0x90 : 0x80;
        high = s[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (len < n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

bool lcf_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

/* How many bytes from s on are plain ASCII. */
static size_t ascii_run(const char *s, size_t len)
{
    const uint64_t high = 0x8080808080808080u;
    uint64_t words[4];
    size_t n = 0;

    for (; n + sizeof(words) <= len; n += sizeof(words)) {
        memcpy(words, s + n, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) & high)
            break;
    }
    for (; n + sizeof(*words) <= len; n += sizeof(*words)) {
        memcpy(words, s + n, sizeof(*words));
        if (*words & high)
            break;
    }
    while (n < len && !(s[n] & 0x80))
        n++;
    return n;
}

bool lcf_utf8_valid(const char *s, size_t len)
{
    for (size_t i = ascii_run(s, len), n; i < len; i += n) {
        n = utf8_sequence((const unsigned char *)s + i, len - i);
        if (!n)
            return false;
    }
    return true;
}

void lcf_buf_append_utf8(lcf_buf *out, const char *text, size_t len)
{
    while (len) {
        size_t n = 1;

        while (n < 4 && n < len && !lcf_utf8_valid(text, n))
            n++;
        if (lcf_utf8_valid(text, n)) {
            lcf_buf_append(out, text, n);
        } else {
            lcf_buf_append_text(out, "\xef\xbf\xbd");
            n = 1;
        }
        text += n;
        len -= n;
    }
}

void lcf_utf8_mend(char *text)
{
    size_t len = strlen(text), begin = len;

    while (begin && ((unsigned char)text[begin - 1] & 0xC0) == 0x80)
        begin--;
    if (begin && !lcf_utf8_valid(text + begin - 1, len - begin + 1))
        text[begin - 1] = '\0';
}
