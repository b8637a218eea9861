/*
 * Seeded random numbers: xoshiro256++, seeded through splitmix64. The same seed gives the same
 * numbers on every machine.
 *
 * A generator is a value owned by its caller; nothing is global. Give each independent consumer its
 * own stream, so that one consumer drawing more numbers does not change another's.
 */
#ifndef LCF_COMMON_BASE_RNG_H
#define LCF_COMMON_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_rng {
    uint64_t state[4];
} lcf_rng;

void lcf_rng_seed(lcf_rng *rng, uint64_t seed, uint64_t stream);
uint64_t lcf_rng_u64(lcf_rng *rng);
/* Uniform in [0, n) without modulo bias; n >= 1. */
uint64_t lcf_rng_below(lcf_rng *rng, uint64_t n);
/* Uniform in [0, 1) with 53 and with 24 random bits. */
double lcf_rng_f64(lcf_rng *rng);
float lcf_rng_f32(lcf_rng *rng);
/* The same n times. */
void lcf_rng_f32_fill(float *out, lcf_rng *rng, size_t n);
/* Standard normal (Marsaglia's polar method; the second value is not kept, so draws are independent
 * of history). */
double lcf_rng_normal(lcf_rng *rng);
/* Fisher-Yates over n u32. */
void lcf_rng_shuffle_u32(lcf_rng *rng, uint32_t *values, size_t n);

#endif
