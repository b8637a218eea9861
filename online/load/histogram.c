/* Buckets: 128 of width 1, then 128 for every further power of two. */
#include "online/load/histogram.h"

#include <math.h>
#include <string.h>

#define PER_POWER ((uint64_t)1 << LCF_HISTOGRAM_BITS)

static size_t bucket_of(uint64_t value)
{
    const unsigned bits = value < PER_POWER ? 0 : 64 - (unsigned)__builtin_clzll(value);
    unsigned shift;

    if (value < PER_POWER)
        return (size_t)value;
    if (bits > LCF_HISTOGRAM_MAX_BITS)
        return LCF_HISTOGRAM_N - 1;
    shift = bits - LCF_HISTOGRAM_BITS - 1;
    return (size_t)(((uint64_t)(shift + 1) << LCF_HISTOGRAM_BITS) + (value >> shift) - PER_POWER);
}

/* The largest value of a bucket. */
static uint64_t top_of(size_t bucket)
{
    const unsigned power = (unsigned)(bucket >> LCF_HISTOGRAM_BITS);
    const uint64_t within = bucket & (PER_POWER - 1);

    return power ? ((PER_POWER + within + 1) << (power - 1)) - 1 : within;
}

void lcf_histogram_reset(lcf_histogram *h)
{
    memset(h, 0, sizeof(*h));
}

void lcf_histogram_add(lcf_histogram *h, uint64_t value)
{
    h->counts[bucket_of(value)]++;
    h->min = h->n && h->min < value ? h->min : value;
    h->max = h->max > value ? h->max : value;
    h->sum += (double)value;
    h->n++;
}

uint64_t lcf_histogram_percentile(const lcf_histogram *h, double percent)
{
    const double wanted = ceil(percent / 100.0 * (double)h->n);
    uint64_t seen = 0;

    for (size_t i = 0; h->n && i < LCF_HISTOGRAM_N; i++) {
        seen += h->counts[i];
        if (seen && (double)seen >= wanted)
            return top_of(i) < h->max ? top_of(i) : h->max;
    }
    return h->max;
}

double lcf_histogram_mean(const lcf_histogram *h)
{
    return h->n ? h->sum / (double)h->n : 0.0;
}
