/* Codes as text: see code_text.h. */
#include "offline/recgen/code_text.h"

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
