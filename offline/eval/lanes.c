/*
 * The loops are written once over gcc vectors of eight doubles and inlined into one function per
 * instruction set. Products and sums of whole numbers below 2^53 are exact; the others are done in
 * the order of rows or users in each lane, without fused multiply-add, so that every level gives
 * the same bits.
 */
#include "offline/eval/lanes.h"

#include <math.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define HALVES 2 /* vectors that make LCF_LANES */
#define TINY                                                                            \
    1e-300 /* added to a whole number it changes nothing but 0, which may be divided by \
            */

typedef double vec __attribute__((vector_size(64)));
typedef int32_t vec_i32 __attribute__((vector_size(32)));
typedef uint8_t vec_u8 __attribute__((vector_size(8)));

/* Sixteen lanes. */
typedef struct lanes {
    vec half[HALVES];
} lanes;

/* Locals of one loop and never behind a pointer, so that they stay in registers. */
typedef struct rank_state {
    lanes positives, negatives, wins, precision, residual, tie_positives, tie_negatives;
} rank_state;

ALWAYS_INLINE lanes zero_lanes(void)
{
    const lanes zero = {{{0}, {0}}};

    return zero;
}

ALWAYS_INLINE lanes load_weights(const uint8_t *from)
{
    lanes w;

    for (int h = 0; h < HALVES; h++) {
        vec_u8 bytes;
        memcpy(&bytes, from + 8 * h, sizeof(bytes));
        w.half[h] = __builtin_convertvector(__builtin_convertvector(bytes, vec_i32), vec);
    }
    return w;
}

ALWAYS_INLINE rank_state count_positive(rank_state s, lanes w)
{
    for (int h = 0; h < HALVES; h++) {
        vec seen = s.positives.half[h] + w.half[h];
        s.positives.half[h] = seen;
        s.precision.half[h] += w.half[h] * seen / (seen + s.negatives.half[h] + TINY);
    }
    return s;
}

ALWAYS_INLINE rank_state count_negative(rank_state s, lanes w)
{
    for (int h = 0; h < HALVES; h++) {
        s.wins.half[h] += w.half[h] * s.positives.half[h];
        s.negatives.half[h] += w.half[h];
    }
    return s;
}

ALWAYS_INLINE rank_state count_tied(rank_state s, uint32_t word, lanes w)
{
    for (int h = 0; h < HALVES; h++) {
        if (word & LCF_ROW_LABEL)
            s.tie_positives.half[h] += w.half[h];
        else
            s.tie_negatives.half[h] += w.half[h];
    }
    if (!(word & LCF_ROW_TIE_LAST))
        return s;
    for (int h = 0; h < HALVES; h++)
        s.wins.half[h] += s.tie_negatives.half[h] * (0.5 * s.tie_positives.half[h]);
    s = count_negative(s, s.tie_negatives);
    s = count_positive(s, s.tie_positives);
    s.tie_positives = s.tie_negatives = zero_lanes();
    return s;
}

ALWAYS_INLINE rank_state add_row(rank_state s, uint32_t word, double score, const uint8_t *weights)
{
    double residual = score - (word & LCF_ROW_LABEL);
    lanes w = load_weights(weights + (size_t)(word >> LCF_ROW_SHIFT) * LCF_LANES);

    for (int h = 0; h < HALVES; h++)
        s.residual.half[h] += w.half[h] * residual;
    if (word & LCF_ROW_IN_TIE)
        return count_tied(s, word, w);
    return word & LCF_ROW_LABEL ? count_positive(s, w) : count_negative(s, w);
}

ALWAYS_INLINE void ranks_body(lcf_lane_ranks *out, const lcf_weighted_run *r,
                              const uint8_t *weights)
{
    rank_state s;
    size_t i = 0;

    s.positives = s.negatives = s.wins = s.precision = s.residual = zero_lanes();
    s.tie_positives = s.tie_negatives = zero_lanes();
    memset(out, 0, sizeof(*out));
    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
        for (; i < r->bin_end[b]; i++)
            s = add_row(s, r->sorted[i], r->scores[i], weights);
        for (size_t k = 0; k < LCF_LANES; k++)
            out->residual[k] += fabs(s.residual.half[k / 8][k % 8]);
        s.residual = zero_lanes();
    }
    memcpy(out->positives, &s.positives, sizeof(s.positives));
    memcpy(out->negatives, &s.negatives, sizeof(s.negatives));
    memcpy(out->wins, &s.wins, sizeof(s.wins));
    memcpy(out->precision, &s.precision, sizeof(s.precision));
}

ALWAYS_INLINE void sums_body(double *out, const double *sums, const uint8_t *weights,
                             size_t users_n)
{
    vec total[LCF_USER_SUMS_N][HALVES];

    memset(total, 0, sizeof(total));
    for (size_t u = 0; u < users_n; u++) {
        lanes w = load_weights(weights + u * LCF_LANES);
        for (size_t k = 0; k < LCF_USER_SUMS_N; k++)
            for (int h = 0; h < HALVES; h++)
                total[k][h] += w.half[h] * sums[u * LCF_USER_SUMS_N + k];
    }
    memcpy(out, total, sizeof(total));
}

#define LEVEL(name, attributes)                                                                 \
    attributes static void ranks_##name(lcf_lane_ranks *out, const lcf_weighted_run *r,         \
                                        const uint8_t *weights)                                 \
    {                                                                                           \
        ranks_body(out, r, weights);                                                            \
    }                                                                                           \
    attributes static void sums_##name(double *out, const double *sums, const uint8_t *weights, \
                                       size_t users_n)                                          \
    {                                                                                           \
        sums_body(out, sums, weights, users_n);                                                 \
    }

LEVEL(baseline, )
const lcf_lane_kernels lcf_lanes_baseline = {ranks_baseline, sums_baseline};

#if defined(__x86_64__)
LEVEL(avx2, __attribute__((target("avx2"))))
LEVEL(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))))

const lcf_lane_kernels *lcf_lanes_get(void)
{
    static const lcf_lane_kernels avx2 = {ranks_avx2, sums_avx2};
    static const lcf_lane_kernels avx512 = {ranks_avx512, sums_avx512};

    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &avx512;
    return __builtin_cpu_supports("avx2") ? &avx2 : &lcf_lanes_baseline;
}
#else
const lcf_lane_kernels *lcf_lanes_get(void)
{
    return &lcf_lanes_baseline;
}
#endif
