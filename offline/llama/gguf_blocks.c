/*
 * Block formats. A block of 32 is a scale (and a least value) in f16 and one code a value; a block
 * of 256 ("K") is eight or sixteen sub-blocks whose scales are themselves codes.
 *
 *   Q4_0  d          | 16 bytes: codes of values i and i + 16 in the low and high halves
 *   Q4_1  d, m       | the same; x = d q + m
 *   Q5_0  d          | 4 bytes: the fifth bits of values 0..31 | as Q4_0
 *   Q5_1  d, m       | as Q5_0; x = d q + m
 *   Q8_0  d          | 32 signed bytes
 *   Q4_K  d, dmin    | 12 bytes: 8 scales and 8 minima of 6 bits | 128 bytes of halves
 *   Q5_K  d, dmin    | as Q4_K | 32 bytes of fifth bits, bit s for sub-block s | 128 bytes
 *   Q6_K  128 bytes of low halves | 64 bytes of high pairs | 16 signed scales | d
 */
#include "offline/llama/gguf_blocks.h"

#include "common/math/half.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SMALL = 32, LARGE = 256 };

static uint16_t load_u16(const uint8_t *data)
{
    uint16_t h;

    memcpy(&h, data, sizeof(h));
    return h;
}

static float load_f16(const uint8_t *data)
{
    return lcf_f16_widen(load_u16(data));
}

static void store_u16(uint8_t *out, uint16_t h)
{
    memcpy(out, &h, sizeof(h));
}

/* ---- widening ----------------------------------------------------------------------------- */

void lcf_widen_f32(float *out, const uint8_t *data, size_t blocks_n)
{
    memcpy(out, data, blocks_n * sizeof(*out));
}

void lcf_widen_f16(float *out, const uint8_t *data, size_t blocks_n)
{
    for (size_t i = 0; i < blocks_n; i++)
        out[i] = load_f16(data + 2 * i);
}

void lcf_widen_bf16(float *out, const uint8_t *data, size_t blocks_n)
{
    for (size_t i = 0; i < blocks_n; i++)
        out[i] = lcf_bf16_widen(load_u16(data + 2 * i));
}

void lcf_widen_q4_0(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 18, out += SMALL) {
        float d = load_f16(data);
        for (size_t i = 0; i < SMALL / 2; i++) {
            out[i] = (float)((data[2 + i] & 15) - 8) * d;
            out[i + SMALL / 2] = (float)((data[2 + i] >> 4) - 8) * d;
        }
    }
}

void lcf_widen_q4_1(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 20, out += SMALL) {
        float d = load_f16(data), m = load_f16(data + 2);
        for (size_t i = 0; i < SMALL / 2; i++) {
            out[i] = (float)(data[4 + i] & 15) * d + m;
            out[i + SMALL / 2] = (float)(data[4 + i] >> 4) * d + m;
        }
    }
}

/* The five-bit codes of values i and i + 16. */
static void q5_codes(int *low, int *high, uint32_t fifths, uint8_t halves, size_t i)
{
    *low = (halves & 15) | (int)(fifths >> i & 1) << 4;
    *high = (halves >> 4) | (int)(fifths >> (i + SMALL / 2) & 1) << 4;
}

void lcf_widen_q5_0(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 22, out += SMALL) {
        float d = load_f16(data);
        uint32_t fifths;
        memcpy(&fifths, data + 2, sizeof(fifths));
        for (size_t i = 0; i < SMALL / 2; i++) {
            int low, high;
            q5_codes(&low, &high, fifths, data[6 + i], i);
            out[i] = (float)(low - 16) * d;
            out[i + SMALL / 2] = (float)(high - 16) * d;
        }
    }
}

void lcf_widen_q5_1(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 24, out += SMALL) {
        float d = load_f16(data), m = load_f16(data + 2);
        uint32_t fifths;
        memcpy(&fifths, data + 4, sizeof(fifths));
        for (size_t i = 0; i < SMALL / 2; i++) {
            int low, high;
            q5_codes(&low, &high, fifths, data[8 + i], i);
            out[i] = (float)low * d + m;
            out[i + SMALL / 2] = (float)high * d + m;
        }
    }
}

void lcf_widen_q8_0(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 34, out += SMALL) {
        const int8_t *q = (const int8_t *)data + 2;
        float d = load_f16(data);
        for (size_t i = 0; i < SMALL; i++)
            out[i] = (float)q[i] * d;
    }
}

/* Scale and minimum of sub-block s out of the 12 packed bytes: six bits each, the first four whole
 * in bytes 0..3 and 4..7, the others a half in bytes 8..11 and two bits on top of the first. */
static void k_scale(float *scale, float *least, const uint8_t *packed, size_t s)
{
    if (s < 4) {
        *scale = (float)(packed[s] & 63);
        *least = (float)(packed[s + 4] & 63);
    } else {
        *scale = (float)((packed[s + 4] & 15) | packed[s - 4] >> 6 << 4);
        *least = (float)(packed[s + 4] >> 4 | packed[s] >> 6 << 4);
    }
}

void lcf_widen_q4_k(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 144) {
        float d = load_f16(data), dmin = load_f16(data + 2);
        for (size_t s = 0; s < LARGE / SMALL; s++, out += SMALL) {
            const uint8_t *halves = data + 16 + s / 2 * SMALL;
            unsigned shift = s % 2 ? 4 : 0;
            float scale, least;
            k_scale(&scale, &least, data + 4, s);
            scale *= d;
            least *= dmin;
            for (size_t i = 0; i < SMALL; i++)
                out[i] = scale * (float)(halves[i] >> shift & 15) - least;
        }
    }
}

void lcf_widen_q5_k(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 176) {
        float d = load_f16(data), dmin = load_f16(data + 2);
        const uint8_t *fifths = data + 16;
        for (size_t s = 0; s < LARGE / SMALL; s++, out += SMALL) {
            const uint8_t *halves = data + 48 + s / 2 * SMALL;
            unsigned shift = s % 2 ? 4 : 0;
            float scale, least;
            k_scale(&scale, &least, data + 4, s);
            scale *= d;
            least *= dmin;
            for (size_t i = 0; i < SMALL; i++)
                out[i] =
                    scale * (float)((halves[i] >> shift & 15) | (fifths[i] >> s & 1) << 4) - least;
        }
    }
}

/* Half a block: 128 values as four runs of 32, each of two sub-blocks of 16. */
static void widen_q6_half(float *out, const uint8_t *low, const uint8_t *high, const int8_t *scales,
                          float d)
{
    for (size_t run = 0; run < 4; run++)
        for (size_t i = 0; i < SMALL; i++) {
            int halves = low[i + run % 2 * SMALL] >> (run < 2 ? 0 : 4) & 15;
            int code = halves | (high[i] >> 2 * run & 3) << 4;
            out[run * SMALL + i] = d * (float)scales[run * 2 + i / 16] * (float)(code - 32);
        }
}

void lcf_widen_q6_k(float *out, const uint8_t *data, size_t blocks_n)
{
    for (; blocks_n--; data += 210, out += LARGE) {
        const int8_t *scales = (const int8_t *)data + 192;
        float d = load_f16(data + 208);
        widen_q6_half(out, data, data + 128, scales, d);
        widen_q6_half(out + LARGE / 2, data + 64, data + 160, scales + 8, d);
    }
}

/* ---- narrowing ---------------------------------------------------------------------------- */

void lcf_narrow_f32(uint8_t *out, const float *x, size_t blocks_n)
{
    memcpy(out, x, blocks_n * sizeof(*x));
}

void lcf_narrow_f16(uint8_t *out, const float *x, size_t blocks_n)
{
    for (size_t i = 0; i < blocks_n; i++)
        store_u16(out + 2 * i, lcf_f16_narrow(x[i]));
}

void lcf_narrow_bf16(uint8_t *out, const float *x, size_t blocks_n)
{
    for (size_t i = 0; i < blocks_n; i++)
        store_u16(out + 2 * i, lcf_bf16_narrow(x[i]));
}

/* The code of a value that was scaled and shifted: truncated into 0 .. most; 0 for a NaN. */
static uint8_t code_of(float x, int most)
{
    return (uint8_t)(x >= (float)most ? most : x > 0 ? (int)x : 0);
}

static float inverse_of(float scale)
{
    return scale != 0 ? 1 / scale : 0;
}

/* Two codes of `bits` bits each (4, or 5 with the fifth in *fifths) into halves and bits. */
static void put_codes(uint8_t *half, uint32_t *fifths, uint8_t low, uint8_t high, size_t i)
{
    *half = (uint8_t)((low & 15) | (high & 15) << 4);
    *fifths |= (uint32_t)(low >> 4) << i | (uint32_t)(high >> 4) << (i + SMALL / 2);
}

/* The value of the largest magnitude becomes the least code. */
static float symmetric_scale(const float *x, int steps)
{
    float magnitude = 0, largest = 0;

    for (size_t i = 0; i < SMALL; i++)
        if (magnitude < fabsf(x[i])) {
            magnitude = fabsf(x[i]);
            largest = x[i];
        }
    return largest / (float)-steps;
}

static void narrow_symmetric(uint8_t *out, const float *x, int steps)
{
    float d = symmetric_scale(x, steps), inverse = inverse_of(d), shift = (float)steps + .5f;
    uint8_t *halves = out + (steps == 16 ? 6 : 2);
    uint32_t fifths = 0;

    store_u16(out, lcf_f16_narrow(d));
    for (size_t i = 0; i < SMALL / 2; i++)
        put_codes(&halves[i], &fifths, code_of(x[i] * inverse + shift, 2 * steps - 1),
                  code_of(x[i + SMALL / 2] * inverse + shift, 2 * steps - 1), i);
    if (steps == 16)
        memcpy(out + 2, &fifths, sizeof(fifths));
}

/* From the least value to the greatest in `steps` steps. */
static void narrow_ranged(uint8_t *out, const float *x, int steps)
{
    float least = x[0], greatest = x[0], d, inverse;
    uint8_t *halves = out + (steps == 31 ? 8 : 4);
    uint32_t fifths = 0;

    for (size_t i = 1; i < SMALL; i++) {
        least = x[i] < least ? x[i] : least;
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    d = (greatest - least) / (float)steps;
    inverse = inverse_of(d);
    store_u16(out, lcf_f16_narrow(d));
    store_u16(out + 2, lcf_f16_narrow(least));
    for (size_t i = 0; i < SMALL / 2; i++)
        put_codes(&halves[i], &fifths, code_of((x[i] - least) * inverse + .5f, steps),
                  code_of((x[i + SMALL / 2] - least) * inverse + .5f, steps), i);
    if (steps == 31)
        memcpy(out + 4, &fifths, sizeof(fifths));
}

void lcf_narrow_q4_0(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += SMALL, out += 18)
        narrow_symmetric(out, x, 8);
}

void lcf_narrow_q4_1(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += SMALL, out += 20)
        narrow_ranged(out, x, 15);
}

void lcf_narrow_q5_0(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += SMALL, out += 22)
        narrow_symmetric(out, x, 16);
}

void lcf_narrow_q5_1(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += SMALL, out += 24)
        narrow_ranged(out, x, 31);
}

void lcf_narrow_q8_0(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += SMALL, out += 34) {
        float largest = 0, scale, inverse;
        for (size_t i = 0; i < SMALL; i++)
            largest = fmaxf(largest, fabsf(x[i]));
        scale = largest / 127;
        inverse = inverse_of(scale);
        store_u16(out, lcf_f16_narrow(scale));
        for (size_t i = 0; i < SMALL; i++) {
            float q = roundf(x[i] * inverse); /* 1 / scale may overflow for the tiniest blocks */
            ((int8_t *)out)[2 + i] = (int8_t)(q >= 127 ? 127 : q <= -127 ? -127 : q == q ? q : 0);
        }
    }
}
