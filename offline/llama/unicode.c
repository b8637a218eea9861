/*
 * Character classes. ASCII, which most text is made of, is answered from a few comparisons, the
 * rest by utf8proc's tables.
 */
#include "offline/llama/unicode.h"

#include "common/base/str.h"

#include <string.h>
#include <utf8proc.h>

size_t lcf_char_bytes(const char *s, size_t n)
{
    unsigned char lead = (unsigned char)s[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (len < 2 || lead > 0xf4 || len > n || !lcf_utf8_valid(s, len))
        return 1;
    return len;
}

size_t lcf_char_read(uint32_t *c, const char *s, size_t n)
{
    size_t len = lcf_char_bytes(s, n);
    const unsigned char *b = (const unsigned char *)s;

    if (len == 1)
        *c = b[0] < 0x80 ? b[0] : 0xfffd;
    else if (len == 2)
        *c = (b[0] & 31u) << 6 | (b[1] & 63u);
    else if (len == 3)
        *c = (b[0] & 15u) << 12 | (b[1] & 63u) << 6 | (b[2] & 63u);
    else
        *c = (b[0] & 7u) << 18 | (b[1] & 63u) << 12 | (b[2] & 63u) << 6 | (b[3] & 63u);
    return len;
}

size_t lcf_char_write(char *out, uint32_t c)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (utf8proc_uint8_t *)out);
}

static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static lcf_char_class ascii_class(uint32_t c)
{
    if ((c | 32) >= 'a' && (c | 32) <= 'z')
        return LCF_CHAR_LETTER;
    if (c >= '0' && c <= '9')
        return LCF_CHAR_NUMBER;
    if (is_space(c))
        return LCF_CHAR_SPACE;
    return c < ' ' || c == 0x7f ? LCF_CHAR_CONTROL : LCF_CHAR_PUNCT;
}

lcf_char_class lcf_char_class_of(uint32_t c)
{
    utf8proc_category_t category;

    if (c < 0x80)
        return ascii_class(c);
    if (is_space(c))
        return LCF_CHAR_SPACE;
    category = utf8proc_category((utf8proc_int32_t)c);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return LCF_CHAR_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return LCF_CHAR_NUMBER;
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
        return LCF_CHAR_PUNCT;
    return category == UTF8PROC_CATEGORY_CN || category >= UTF8PROC_CATEGORY_CC ? LCF_CHAR_CONTROL
                                                                                : LCF_CHAR_OTHER;
}

bool lcf_char_is_ideograph(uint32_t c)
{
    static const uint32_t RANGES[][2] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                         {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f},
                                         {0x2b820, 0x2ceaf}, {0x2f800, 0x2fa1f}};

    for (size_t i = 0; i < sizeof(RANGES) / sizeof(*RANGES); i++)
        if (c >= RANGES[i][0] && c <= RANGES[i][1])
            return true;
    return false;
}

size_t lcf_char_fold(uint32_t out[LCF_FOLD_MAX], uint32_t c)
{
    utf8proc_int32_t parts[LCF_FOLD_MAX];
    utf8proc_ssize_t parts_n = 1;
    size_t n = 0;
    int boundary = 0;

    parts[0] = (utf8proc_int32_t)c;
    if (c >= 0x80)
        parts_n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, LCF_FOLD_MAX,
                                          UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < parts_n && i < LCF_FOLD_MAX; i++)
        if (c < 0x80 || utf8proc_category(parts[i]) != UTF8PROC_CATEGORY_MN)
            out[n++] = (uint32_t)utf8proc_tolower(parts[i]);
    return n;
}
