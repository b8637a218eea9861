/*
 * A log-linear histogram, as HdrHistogram's: every value is kept within 1/128 of itself, from
 * nanoseconds to twenty minutes, in a fixed amount of memory.
 *
 * Invariant: `n`, `sum` and `counts` tell of the same values; `min` and `max` are exact.
 */
#ifndef LCF_ONLINE_LOAD_HISTOGRAM_H
#define LCF_ONLINE_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define LCF_HISTOGRAM_BITS 7      /* of precision */
#define LCF_HISTOGRAM_MAX_BITS 40 /* values of 2^40 and more count as the largest */
#define LCF_HISTOGRAM_N \
    ((size_t)(LCF_HISTOGRAM_MAX_BITS - LCF_HISTOGRAM_BITS + 1) << LCF_HISTOGRAM_BITS)

typedef struct lcf_histogram {
    uint64_t counts[LCF_HISTOGRAM_N];
    uint64_t n, min, max;
    double sum;
} lcf_histogram;

void lcf_histogram_reset(lcf_histogram *h);
void lcf_histogram_add(lcf_histogram *h, uint64_t value);
/* The smallest value that at least a share of `percent` / 100 is not above, to the precision; 0 of
 * an empty one. */
uint64_t lcf_histogram_percentile(const lcf_histogram *h, double percent);
double lcf_histogram_mean(const lcf_histogram *h); /* 0 of an empty one */

#endif
