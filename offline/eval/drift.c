/* Distributions of scores, and the distance between two of them. */
#include "offline/eval/drift.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>

#define SHARE_MIN 1e-4

/* Which of n equal parts of [0, 1] a score is in; 1 is in the last. */
static size_t part_of(float score, size_t n)
{
    size_t part = (size_t)((double)score * (double)n);

    return part < n ? part : n - 1;
}

static void count_levels(lcf_score_sample *out, const float *scores, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out->mean += (double)scores[i] / (double)n;
        out->bins[part_of(scores[i], LCF_SCORE_BINS)]++;
        out->up_to[part_of(scores[i], LCF_SCORE_LEVELS)]++;
    }
    for (size_t level = 1; level < LCF_SCORE_LEVELS; level++)
        out->up_to[level] += out->up_to[level - 1];
    for (size_t b = 0; b < LCF_SCORE_BINS; b++)
        out->bins[b] /= (double)n;
}

lcf_status lcf_score_sample_init(lcf_score_sample *out, const float *scores, size_t n, lcf_err *err)
{
    double squares = 0;

    *out = (lcf_score_sample){.n = 0};
    if (!n)
        return LCF_OK;
    for (size_t i = 0; i < n; i++)
        if (!(scores[i] >= 0 && scores[i] <= 1))
            return LCF_FAIL(err, LCF_EFORMAT, "score %zu is %g, not within 0 and 1", i,
                            (double)scores[i]);
    out->up_to = lcf_alloc_zero(LCF_SCORE_LEVELS, sizeof(*out->up_to));
    if (!out->up_to)
        return LCF_FAIL(err, LCF_ENOMEM, "histogram of %zu scores", n);
    out->n = n;
    count_levels(out, scores, n);
    for (size_t i = 0; i < n; i++) {
        double off = (double)scores[i] - out->mean;
        squares += off * off;
    }
    out->std = n > 1 ? sqrt(squares / (double)(n - 1)) : NAN;
    return LCF_OK;
}

void lcf_score_sample_dispose(lcf_score_sample *s)
{
    free(s->up_to);
    *s = (lcf_score_sample){.n = 0};
}

/* The lowest level up to which there are `count` scores. */
static size_t level_of(const lcf_score_sample *s, size_t count)
{
    size_t low = 0, high = LCF_SCORE_LEVELS - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->up_to[middle] < count)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double share(size_t from, size_t to, size_t n)
{
    return fmax((double)(to - from) / (double)n, SHARE_MIN);
}

static double term(double p, double q)
{
    return (q - p) * log(q / p);
}

double lcf_psi_counts(const size_t *before, const size_t *after, size_t n)
{
    size_t all_before = 0, all_after = 0;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        all_before += before[i];
        all_after += after[i];
    }
    if (!all_before || !all_after)
        return NAN;
    for (size_t i = 0; i < n; i++)
        if (before[i] || after[i])
            sum += term(share(0, before[i], all_before), share(0, after[i], all_after));
    return sum;
}

double lcf_psi(const lcf_score_sample *before, const lcf_score_sample *after)
{
    size_t last_before = 0, last_after = 0;
    double sum = 0;

    if (!before->n || !after->n)
        return NAN;
    for (size_t k = 1; k <= LCF_PSI_BINS; k++) {
        size_t at = before->n * k / LCF_PSI_BINS;
        size_t level = k < LCF_PSI_BINS ? level_of(before, at) : LCF_SCORE_LEVELS - 1;
        size_t to_before = before->up_to[level], to_after = after->up_to[level];
        if (to_before > last_before || to_after > last_after) {
            sum += term(share(last_before, to_before, before->n),
                        share(last_after, to_after, after->n));
        }
        last_before = to_before;
        last_after = to_after;
    }
    return sum;
}

json_t *lcf_score_sample_json(const lcf_score_sample *s)
{
    json_t *bins;

    if (!s->n)
        return json_null();
    bins = json_array();
    for (size_t b = 0; b < LCF_SCORE_BINS; b++)
        json_array_append_new(bins, json_real(s->bins[b]));
    return json_pack("{s:I, s:f, s:o, s:o}", "scores", (json_int_t)s->n, "mean", s->mean, "std",
                     isnan(s->std) ? json_null() : json_real(s->std), "shares", bins);
}
