/*
 * The table of GGUF tensor types: names, block sizes, and the conversions of those that we read and
 * write (gguf_blocks.c).
 */
#include "offline/llama/gguf_types.h"

#include <string.h>
#include <strings.h>

static const lcf_gguf_type_info TYPES[] = {
    [0] = {"F32", 1, 4, 0, lcf_widen_f32, lcf_narrow_f32},
    [1] = {"F16", 1, 2, 1, lcf_widen_f16, lcf_narrow_f16},
    [2] = {"Q4_0", 32, 18, 2, lcf_widen_q4_0, lcf_narrow_q4_0},
    [3] = {"Q4_1", 32, 20, 3, lcf_widen_q4_1, lcf_narrow_q4_1},
    [6] = {"Q5_0", 32, 22, 8, lcf_widen_q5_0, lcf_narrow_q5_0},
    [7] = {"Q5_1", 32, 24, 9, lcf_widen_q5_1, lcf_narrow_q5_1},
    [8] = {"Q8_0", 32, 34, 7, lcf_widen_q8_0, lcf_narrow_q8_0},
    [9] = {"Q8_1", 32, 36, 0, NULL, NULL},
    [10] = {"Q2_K", 256, 84, 0, NULL, NULL},
    [11] = {"Q3_K", 256, 110, 0, NULL, NULL},
    [12] = {"Q4_K", 256, 144, 14, lcf_widen_q4_k, lcf_narrow_q4_k},
    [13] = {"Q5_K", 256, 176, 16, lcf_widen_q5_k, lcf_narrow_q5_k},
    [14] = {"Q6_K", 256, 210, 18, lcf_widen_q6_k, lcf_narrow_q6_k},
    [15] = {"Q8_K", 256, 292, 0, NULL, NULL},
    [16] = {"IQ2_XXS", 256, 66, 0, NULL, NULL},
    [17] = {"IQ2_XS", 256, 74, 0, NULL, NULL},
    [18] = {"IQ3_XXS", 256, 98, 0, NULL, NULL},
    [19] = {"IQ1_S", 256, 50, 0, NULL, NULL},
    [20] = {"IQ4_NL", 32, 18, 0, NULL, NULL},
    [21] = {"IQ3_S", 256, 110, 0, NULL, NULL},
    [22] = {"IQ2_S", 256, 82, 0, NULL, NULL},
    [23] = {"IQ4_XS", 256, 136, 0, NULL, NULL},
    [24] = {"I8", 1, 1, 0, NULL, NULL},
    [25] = {"I16", 1, 2, 0, NULL, NULL},
    [26] = {"I32", 1, 4, 0, NULL, NULL},
    [27] = {"I64", 1, 8, 0, NULL, NULL},
    [28] = {"F64", 1, 8, 0, NULL, NULL},
    [29] = {"IQ1_M", 256, 56, 0, NULL, NULL},
    [30] = {"BF16", 1, 2, 32, lcf_widen_bf16, lcf_narrow_bf16},
};

enum { TYPES_N = sizeof(TYPES) / sizeof(*TYPES) };

const lcf_gguf_type_info *lcf_gguf_type_info_of(uint32_t type)
{
    return type < TYPES_N && TYPES[type].name ? &TYPES[type] : NULL;
}

const char *lcf_gguf_type_name(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    return info ? info->name : NULL;
}

bool lcf_gguf_type_parse(lcf_gguf_type *out, const char *name)
{
    for (uint32_t type = 0; type < TYPES_N; type++)
        if (TYPES[type].name && !strcasecmp(TYPES[type].name, name)) {
            *out = (lcf_gguf_type)type;
            return true;
        }
    return false;
}

bool lcf_gguf_type_readable(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    return info && info->widen;
}

bool lcf_gguf_type_writable(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    return info && info->narrow;
}

uint32_t lcf_gguf_file_type(lcf_gguf_type type)
{
    LCF_ASSERT(lcf_gguf_type_writable(type));
    return TYPES[type].file_type;
}

size_t lcf_gguf_type_block(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    LCF_ASSERT(info);
    return info->block_n;
}

size_t lcf_gguf_type_bytes(lcf_gguf_type type, size_t n)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    LCF_ASSERT(info && n % info->block_n == 0);
    return n / info->block_n * info->block_bytes;
}

void lcf_gguf_widen(float *out, lcf_gguf_type type, const void *data, size_t n)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    LCF_ASSERT(info && info->widen && n % info->block_n == 0);
    info->widen(out, data, n / info->block_n);
}

void lcf_gguf_dequantize(float *out, const lcf_gguf_tensor *t, size_t first, size_t n)
{
    LCF_ASSERT(first <= t->n && n <= t->n - first);
    lcf_gguf_widen(out, t->type, (const uint8_t *)t->data + lcf_gguf_type_bytes(t->type, first), n);
}

void lcf_gguf_quantize(void *out, lcf_gguf_type type, const float *x, size_t n)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    LCF_ASSERT(info && info->narrow && n % info->block_n == 0);
    info->narrow(out, x, n / info->block_n);
}
