/*
 * Codes as text, for prompts: each bit as a digit, or each byte as a number with dots between, as
 * addresses are written.
 *
 * source   BinLLM (arXiv 2406.03210) section 4.1: its "binary" and "ipv4"
 */
#ifndef LCF_OFFLINE_RECGEN_CODE_TEXT_H
#define LCF_OFFLINE_RECGEN_CODE_TEXT_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>
#include <stdint.h>

typedef enum lcf_code_form {
    LCF_CODE_BITS,   /* 10101100000100001111111000000001 */
    LCF_CODE_DOTTED, /* 172.16.254.1 */
} lcf_code_form;
#define LCF_CODE_FORMS_N 2

/* "bits", "dotted" */
const char *lcf_code_form_name(lcf_code_form form);
void lcf_code_append(lcf_buf *out, const uint8_t *code, size_t bytes, lcf_code_form form);

#endif
