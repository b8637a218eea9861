/* Codes as text: see code_text.h. */
#include "offline/recgen/code_text.h"

#include <string.h>

const char *lcf_code_form_name(lcf_code_form form)
{
    return form == LCF_CODE_BITS ? "bits" : "dotted";
}

void lcf_code_append(lcf_buf *out, const uint8_t *code, size_t bytes, lcf_code_form form)
{
    if (form == LCF_CODE_DOTTED)
        for (size_t i = 0; i < bytes; i++)
            lcf_buf_printf(out, "%s%u", i ? "." : "", code[i]);
    else
        for (size_t i = 0; i < 8 * bytes; i++)
            lcf_buf_append_char(out, code[i / 8] & (0x80u >> i % 8) ? '1' : '0');
}

static bool parse_bits(uint8_t *code, size_t bytes, lcf_str text)
{
    memset(code, 0, bytes);
    for (size_t i = 0; i < text.len && text.len == 8 * bytes; i++) {
        if (text.data[i] != '0' && text.data[i] != '1')
            return false;
        if (text.data[i] == '1')
            code[i / 8] |= (uint8_t)(0x80u >> i % 8);
    }
    return text.len == 8 * bytes;
}

/* One number of 0 to 255 without zeros in front, from *at on. */
static bool parse_byte(uint8_t *byte, lcf_str text, size_t *at)
{
    const size_t begin = *at;
    unsigned value = 0;

    while (*at < text.len && *at - begin < 3 && text.data[*at] >= '0' && text.data[*at] <= '9')
        value = 10 * value + (unsigned)(text.data[(*at)++] - '0');
    *byte = (uint8_t)value;
    return *at > begin && value <= 255 && (text.data[begin] != '0' || *at == begin + 1);
}

bool lcf_code_parse(uint8_t *code, size_t bytes, lcf_str text, lcf_code_form form)
{
    size_t at = 0;

    if (form == LCF_CODE_BITS)
        return parse_bits(code, bytes, text);
    for (size_t i = 0; i < bytes; i++) {
        if (i && (at == text.len || text.data[at++] != '.'))
            return false;
        if (!parse_byte(&code[i], text, &at))
            return false;
    }
    return at == text.len;
}
