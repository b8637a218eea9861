/*
 * F16 and BF16 to and from f32, by bits.
 *
 * Conversion is done in integers where a float would be subnormal, so that the result is the same
 * bits whether the thread flushes denormals or not. Narrowing rounds to nearest, ties to even.
 */
#ifndef LCF_COMMON_MATH_HALF_H
#define LCF_COMMON_MATH_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static inline float lcf_float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

static inline uint32_t lcf_bits_of_float(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

static inline float lcf_f16_widen(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u, mantissa = h & 1023u;

    if (exponent == 0) { /* subnormal in f16, normal in f32 */
        uint32_t magnitude = lcf_bits_of_float((float)mantissa * 0x1p-24f);
        return lcf_float_of_bits(sign | magnitude);
    }
    exponent = exponent == 31 ? 255 : exponent + 112;
    return lcf_float_of_bits(sign | exponent << 23 | mantissa << 13);
}

static inline float lcf_bf16_widen(uint16_t h)
{
    return lcf_float_of_bits((uint32_t)h << 16);
}

/* Shifts right, rounding to nearest, ties to even; 1 <= shift <= 31. */
static inline uint32_t lcf_shift_round(uint32_t x, uint32_t shift)
{
    uint32_t kept = x >> shift, rest = x & ((1u << shift) - 1), half = 1u << (shift - 1);

    return kept + (rest > half || (rest == half && (kept & 1)));
}

static inline uint16_t lcf_f16_narrow(float f)
{
    uint32_t bits = lcf_bits_of_float(f);
    uint32_t sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 255u;
    uint32_t mantissa = bits & 0x7fffffu;

    if (exponent == 255)
        return (uint16_t)(sign | 0x7c00u | (mantissa ? 0x200u | mantissa >> 13 : 0));
    if (exponent >= 143) /* 2^16 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (exponent >= 113) /* rounding may carry into the exponent, up to infinity: as it should */
        return (uint16_t)(sign | (((exponent - 112) << 10) + lcf_shift_round(mantissa, 13)));
    if (exponent < 102) /* below half of the least subnormal */
        return (uint16_t)sign;
    return (uint16_t)(sign | lcf_shift_round(mantissa | 0x800000u, 126 - exponent));
}

static inline uint16_t lcf_bf16_narrow(float f)
{
    uint32_t bits = lcf_bits_of_float(f);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64u); /* a NaN stays one */
    return (uint16_t)lcf_shift_round(bits, 16);
}

/* Whether the processor converts F16 itself; not every compiler's __builtin_cpu_supports knows. */
static inline bool lcf_has_f16c(void)
{
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
#else
    return false;
#endif
}

#endif
