/* xoshiro256++ (Blackman and Vigna 2019, public domain algorithm), seeded by splitmix64 over (seed,
 * stream). */
#include "common/base/rng.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void lcf_rng_seed(lcf_rng *rng, uint64_t seed, uint64_t stream)
{
    uint64_t mixed = splitmix64(&stream);
    uint64_t state = seed ^ mixed;

    for (int i = 0; i < 4; i++)
        rng->state[i] = splitmix64(&state);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t next(uint64_t s[4])
{
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t lcf_rng_u64(lcf_rng *rng)
{
    return next(rng->state);
}

/* Lemire 2019: multiply and reject the few values that would be over-represented. */
uint64_t lcf_rng_below(lcf_rng *rng, uint64_t n)
{
    uint64_t x = lcf_rng_u64(rng);
    unsigned __int128 product = (unsigned __int128)x * n;
    uint64_t low = (uint64_t)product;

    if (low < n) {
        uint64_t threshold = (0 - n) % n;
        while (low < threshold) {
            x = lcf_rng_u64(rng);
            product = (unsigned __int128)x * n;
            low = (uint64_t)product;
        }
    }
    return (uint64_t)(product >> 64);
}

double lcf_rng_f64(lcf_rng *rng)
{
    return (double)(lcf_rng_u64(rng) >> 11) * 0x1.0p-53;
}

static float unit_f32(uint64_t x)
{
    return (float)(x >> 40) * 0x1.0p-24f;
}

float lcf_rng_f32(lcf_rng *rng)
{
    return unit_f32(lcf_rng_u64(rng));
}

void lcf_rng_f32_fill(float *out, lcf_rng *rng, size_t n)
{
    lcf_rng own = *rng; /* in registers */

    for (size_t i = 0; i < n; i++)
        out[i] = unit_f32(next(own.state));
    *rng = own;
}

double lcf_rng_normal(lcf_rng *rng)
{
    double u, v, s;

    do {
        u = 2.0 * lcf_rng_f64(rng) - 1.0;
        v = 2.0 * lcf_rng_f64(rng) - 1.0;
        s = u * u + v * v;
    } while (s >= 1.0 || s == 0.0);
    return u * sqrt(-2.0 * log(s) / s);
}

void lcf_rng_shuffle_u32(lcf_rng *rng, uint32_t *values, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = lcf_rng_below(rng, i);
        uint32_t t = values[i - 1];
        values[i - 1] = values[j];
        values[j] = t;
    }
}
