/*
 * GGUF tensor types: sizes, and conversion of those we read and write to and from f32.
 *
 * Conversion is done in integers where a float would be subnormal, so that the result is the same
 * bits whether the thread flushes denormals or not.
 *
 * source   the ggml block formats: F16 and BF16 by value, Q8_0 = 32 values as {f16 scale, i8[32]}
 */
#include "offline/llama/gguf_types.h"

#include <math.h>
#include <string.h>

enum { Q8_BLOCK = 32, Q8_BYTES = 34 };

static const lcf_gguf_type_info TYPES[] = {
    [0] = {"F32", 1, 4, true},        [1] = {"F16", 1, 2, true},
    [2] = {"Q4_0", 32, 18, false},    [3] = {"Q4_1", 32, 20, false},
    [6] = {"Q5_0", 32, 22, false},    [7] = {"Q5_1", 32, 24, false},
    [8] = {"Q8_0", 32, 34, true},     [9] = {"Q8_1", 32, 36, false},
    [10] = {"Q2_K", 256, 84, false},  [11] = {"Q3_K", 256, 110, false},
    [12] = {"Q4_K", 256, 144, false}, [13] = {"Q5_K", 256, 176, false},
    [14] = {"Q6_K", 256, 210, false}, [15] = {"Q8_K", 256, 292, false},
    [24] = {"I8", 1, 1, false},       [25] = {"I16", 1, 2, false},
    [26] = {"I32", 1, 4, false},      [27] = {"I64", 1, 8, false},
    [28] = {"F64", 1, 8, false},      [30] = {"BF16", 1, 2, true},
};

const lcf_gguf_type_info *lcf_gguf_type_info_of(uint32_t type)
{
    if (type >= sizeof(TYPES) / sizeof(*TYPES) || !TYPES[type].name)
        return NULL;
    return &TYPES[type];
}

const char *lcf_gguf_type_name(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    return info ? info->name : NULL;
}

bool lcf_gguf_type_readable(lcf_gguf_type type)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    return info && info->readable;
}

size_t lcf_gguf_type_bytes(lcf_gguf_type type, size_t n)
{
    const lcf_gguf_type_info *info = lcf_gguf_type_info_of((uint32_t)type);

    LCF_ASSERT(info && info->readable && n % info->block_n == 0);
    return n / info->block_n * info->block_bytes;
}

static float float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

static float float_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u, mantissa = h & 1023u;

    if (exponent == 0) { /* subnormal in f16, normal in f32 */
        uint32_t magnitude = bits_of_float((float)mantissa * 0x1p-24f);
        return float_of_bits(sign | magnitude);
    }
    exponent = exponent == 31 ? 255 : exponent + 112;
    return float_of_bits(sign | exponent << 23 | mantissa << 13);
}

/* Shifts right, rounding to nearest, ties to even; 1 <= shift <= 31. */
static uint32_t shift_round(uint32_t x, uint32_t shift)
{
    uint32_t kept = x >> shift, rest = x & ((1u << shift) - 1), half = 1u << (shift - 1);

    return kept + (rest > half || (rest == half && (kept & 1)));
}

static uint16_t f16_of_float(float f)
{
    uint32_t bits = bits_of_float(f);
    uint32_t sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 255u;
    uint32_t mantissa = bits & 0x7fffffu;

    if (exponent == 255)
        return (uint16_t)(sign | 0x7c00u | (mantissa ? 0x200u | mantissa >> 13 : 0));
    if (exponent >= 143) /* 2^16 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (exponent >= 113) /* rounding may carry into the exponent, up to infinity: as it should */
        return (uint16_t)(sign | (((exponent - 112) << 10) + shift_round(mantissa, 13)));
    if (exponent < 102) /* below half of the least subnormal */
        return (uint16_t)sign;
    return (uint16_t)(sign | shift_round(mantissa | 0x800000u, 126 - exponent));
}

static uint16_t bf16_of_float(float f)
{
    uint32_t bits = bits_of_float(f);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64u); /* a NaN stays one */
    return (uint16_t)shift_round(bits, 16);
}

static void dequantize_f16(float *out, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, data + 2 * i, sizeof(h));
        out[i] = float_of_f16(h);
    }
}

static void dequantize_bf16(float *out, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, data + 2 * i, sizeof(h));
        out[i] = float_of_bits((uint32_t)h << 16);
    }
}

static void dequantize_q8_0(float *out, const uint8_t *data, size_t n)
{
    for (size_t block = 0; block < n / Q8_BLOCK; block++, data += Q8_BYTES) {
        const int8_t *q = (const int8_t *)data + 2;
        uint16_t h;
        float scale;
        memcpy(&h, data, sizeof(h));
        scale = float_of_f16(h);
        for (size_t i = 0; i < Q8_BLOCK; i++)
            out[block * Q8_BLOCK + i] = scale * (float)q[i];
    }
}

void lcf_gguf_dequantize(float *out, const lcf_gguf_tensor *t, size_t first, size_t n)
{
    const uint8_t *data = (const uint8_t *)t->data + lcf_gguf_type_bytes(t->type, first);

    LCF_ASSERT(first <= t->n && n <= t->n - first);
    switch (t->type) {
    case LCF_GGUF_F32:
        memcpy(out, data, n * sizeof(*out));
        return;
    case LCF_GGUF_F16:
        dequantize_f16(out, data, n);
        return;
    case LCF_GGUF_BF16:
        dequantize_bf16(out, data, n);
        return;
    case LCF_GGUF_Q8_0:
        LCF_ASSERT(n % Q8_BLOCK == 0);
        dequantize_q8_0(out, data, n);
        return;
    }
}

static void quantize_q8_0(uint8_t *out, const float *x, size_t n)
{
    for (size_t block = 0; block < n / Q8_BLOCK; block++, x += Q8_BLOCK, out += Q8_BYTES) {
        float largest = 0, scale, inverse;
        uint16_t h;
        for (size_t i = 0; i < Q8_BLOCK; i++)
            largest = fmaxf(largest, fabsf(x[i]));
        scale = largest / 127;
        inverse = scale > 0 ? 1 / scale : 0;
        h = f16_of_float(scale);
        memcpy(out, &h, sizeof(h));
        for (size_t i = 0; i < Q8_BLOCK; i++) {
            float q = roundf(x[i] * inverse); /* 1 / scale may overflow for the tiniest blocks */
            ((int8_t *)out)[2 + i] = (int8_t)(q >= 127 ? 127 : q <= -127 ? -127 : q == q ? q : 0);
        }
    }
}

void lcf_gguf_quantize(void *out, lcf_gguf_type type, const float *x, size_t n)
{
    uint8_t *bytes = out;

    if (type == LCF_GGUF_F32) {
        memcpy(out, x, n * sizeof(*x));
    } else if (type == LCF_GGUF_Q8_0) {
        LCF_ASSERT(n % Q8_BLOCK == 0);
        quantize_q8_0(out, x, n);
    } else {
        LCF_ASSERT(type == LCF_GGUF_F16 || type == LCF_GGUF_BF16);
        for (size_t i = 0; i < n; i++) {
            uint16_t h = type == LCF_GGUF_F16 ? f16_of_float(x[i]) : bf16_of_float(x[i]);
            memcpy(bytes + 2 * i, &h, sizeof(h));
        }
    }
}
