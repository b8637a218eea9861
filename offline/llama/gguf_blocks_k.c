/*
 * Narrowing to the K types: blocks of 256 whose sub-blocks have scales (and minima) that are
 * themselves codes; the layouts are in gguf_blocks.c. Of each sub-block the scale is sought that
 * leaves the least squared error, among a few widths of the range, each with the best line through
 * its codes; then scales become codes of the block's, and the values codes of those.
 *
 * Codes, sums and their order are fixed: the same values give the same bytes everywhere.
 */
#include "offline/llama/gguf_blocks.h"

#include "common/math/half.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LARGE = 256, RANGED = 32, SIGNED = 16, TRIES = 16 };

static void store_f16(uint8_t *out, float x)
{
    uint16_t h = lcf_f16_narrow(x);

    memcpy(out, &h, sizeof(h));
}

/* As a reader will see it. */
static float rounded(float x)
{
    return lcf_f16_widen(lcf_f16_narrow(x));
}

/* The nearest code in least .. most; `least` for a NaN. */
static int nearest(float x, int least, int most)
{
    float q = roundf(x);

    return q >= (float)most ? most : q > (float)least ? (int)q : least;
}

static float inverse_of(float scale)
{
    return scale != 0 ? 1 / scale : 0;
}

/* ---- Q4_K, Q5_K: x = scale q - least ---- */

typedef struct line {
    float scale, least, error;
} line;

/* The best scale and minimum for the codes that values have at some inverse scale. */
static line line_through(const float *x, float least, float inverse, int steps)
{
    float n = RANGED, q1 = 0, q2 = 0, x1 = 0, qx = 0, divisor;
    float codes[RANGED];
    line l = {0, least, 0};

    for (size_t i = 0; i < RANGED; i++) {
        float q = (float)nearest((x[i] + least) * inverse, 0, steps);
        codes[i] = q;
        q1 += q;
        q2 += q * q;
        x1 += x[i];
        qx += q * x[i];
    }
    divisor = n * q2 - q1 * q1;
    if (divisor > 0) {
        l.scale = (n * qx - q1 * x1) / divisor;
        l.least = (q1 * qx - q2 * x1) / divisor;
    }
    if (divisor > 0 && l.least < 0) { /* there are codes for minima below 0 only */
        l.least = 0;
        l.scale = qx / q2;
    }
    for (size_t i = 0; i < RANGED; i++) {
        float miss = l.scale * codes[i] - l.least - x[i];
        l.error += miss * miss;
    }
    return l;
}

static line fit_line(const float *x, int steps)
{
    float least = 0, most = 0;
    line best;

    for (size_t i = 0; i < RANGED; i++) {
        least = -x[i] > least ? -x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    best = (line){(most + least) / (float)steps, least, INFINITY};
    for (int t = 0; t < TRIES && best.scale > 0; t++) {
        float width = (float)steps + .1f * (float)(t - TRIES / 2);
        line l = line_through(x, least, width / (most + least), steps);
        if (l.error < best.error && l.scale > 0)
            best = l;
    }
    return best;
}

/* Six bits of each scale and minimum into 12 bytes; k_scale of gguf_blocks.c reads them. */
static void pack_scales(uint8_t *out, const uint8_t *scales, const uint8_t *leasts)
{
    for (size_t s = 0; s < 4; s++) {
        out[s] = (uint8_t)(scales[s] | scales[s + 4] >> 4 << 6);
        out[s + 4] = (uint8_t)(leasts[s] | leasts[s + 4] >> 4 << 6);
        out[s + 8] = (uint8_t)((scales[s + 4] & 15) | (leasts[s + 4] & 15) << 4);
    }
}

/* fifths: NULL for Q4_K. halves and fifths are zero. */
static void put_ranged(uint8_t *halves, uint8_t *fifths, const float *x, size_t s, float scale,
                       float least)
{
    const float inverse = inverse_of(scale);
    const int steps = fifths ? 31 : 15;

    halves += s / 2 * RANGED;
    for (size_t i = 0; i < RANGED; i++) {
        int code = nearest((x[i] + least) * inverse, 0, steps);
        halves[i] |= (uint8_t)((code & 15) << (s % 2 ? 4 : 0));
        if (fifths)
            fifths[i] |= (uint8_t)(code >> 4 << s);
    }
}

static void narrow_ranged_block(uint8_t *out, const float *x, bool five)
{
    enum { PARTS = LARGE / RANGED };
    uint8_t scales[PARTS], leasts[PARTS], *fifths = five ? out + 16 : NULL;
    line lines[PARTS];
    float scale = 0, least = 0, d, dmin;

    for (size_t s = 0; s < PARTS; s++) {
        lines[s] = fit_line(x + s * RANGED, five ? 31 : 15);
        scale = lines[s].scale > scale ? lines[s].scale : scale;
        least = lines[s].least > least ? lines[s].least : least;
    }
    d = rounded(scale / 63);
    dmin = rounded(least / 63);
    memset(out, 0, five ? 176 : 144);
    store_f16(out, d);
    store_f16(out + 2, dmin);
    for (size_t s = 0; s < PARTS; s++) {
        scales[s] = (uint8_t)nearest(lines[s].scale * inverse_of(d), 0, 63);
        leasts[s] = (uint8_t)nearest(lines[s].least * inverse_of(dmin), 0, 63);
        put_ranged(out + (five ? 48 : 16), fifths, x + s * RANGED, s, d * (float)scales[s],
                   dmin * (float)leasts[s]);
    }
    pack_scales(out + 4, scales, leasts);
}

void lcf_narrow_q4_k(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += LARGE, out += 144)
        narrow_ranged_block(out, x, false);
}

void lcf_narrow_q5_k(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += LARGE, out += 176)
        narrow_ranged_block(out, x, true);
}

/* ---- Q6_K: x = scale (q - 32), a scale of either sign ---- */

static float fit_scale(const float *x)
{
    float largest = 0, best = 0, gain = 0;

    for (size_t i = 0; i < SIGNED; i++)
        largest = fabsf(x[i]) > fabsf(largest) ? x[i] : largest;
    for (int t = 0; t < TRIES && largest != 0; t++) {
        float inverse = -(32 + .1f * (float)(t - TRIES / 2)) / largest, qx = 0, q2 = 0;
        for (size_t i = 0; i < SIGNED; i++) {
            float q = (float)nearest(x[i] * inverse, -32, 31);
            qx += q * x[i];
            q2 += q * q;
        }
        if (q2 > 0 && qx * qx > gain * q2) { /* what the best multiple of the codes explains */
            gain = qx * qx / q2;
            best = qx / q2;
        }
    }
    return best;
}

/* Half a block: 128 values as four runs of 32, each of two sub-blocks of 16; see widen_q6_half. */
static void put_signed_half(uint8_t *low, uint8_t *high, const float *x, const int8_t *scales,
                            float d)
{
    for (size_t run = 0; run < 4; run++)
        for (size_t i = 0; i < RANGED; i++) {
            float inverse = inverse_of(d * (float)scales[run * 2 + i / SIGNED]);
            int code = nearest(x[run * RANGED + i] * inverse, -32, 31) + 32;
            low[i + run % 2 * RANGED] |= (uint8_t)((code & 15) << (run < 2 ? 0 : 4));
            high[i] |= (uint8_t)(code >> 4 << 2 * run);
        }
}

void lcf_narrow_q6_k(uint8_t *out, const float *x, size_t blocks_n)
{
    for (; blocks_n--; x += LARGE, out += 210) {
        enum { PARTS = LARGE / SIGNED };
        int8_t codes[PARTS];
        float scales[PARTS], largest = 0, d;
        for (size_t s = 0; s < PARTS; s++) {
            scales[s] = fit_scale(x + s * SIGNED);
            largest = fabsf(scales[s]) > largest ? fabsf(scales[s]) : largest;
        }
        d = rounded(largest / 127);
        for (size_t s = 0; s < PARTS; s++)
            codes[s] = (int8_t)nearest(scales[s] * inverse_of(d), -128, 127);
        memset(out, 0, 210);
        put_signed_half(out, out + 128, x, codes, d);
        put_signed_half(out + 64, out + 160, x + LARGE / 2, codes + 8, d);
        memcpy(out + 192, codes, sizeof(codes));
        store_f16(out + 208, d);
    }
}
