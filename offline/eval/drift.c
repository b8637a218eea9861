/* Distributions of scores, and the distance between two of them. */
#include "offline/eval/drift.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARE_MIN 1e-4

static int compare_f32(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static size_t bin_of(float score)
{
    size_t b = (size_t)((double)score * LCF_SCORE_BINS);

    return b < LCF_SCORE_BINS ? b : LCF_SCORE_BINS - 1;
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
    out->sorted = lcf_alloc(n, sizeof(*out->sorted));
    if (!out->sorted)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu scores", n);
    memcpy(out->sorted, scores, n * sizeof(*scores));
    qsort(out->sorted, n, sizeof(*out->sorted), compare_f32);
    out->n = n;
    for (size_t i = 0; i < n; i++) { /* in the order of the scores, so that the sum has one */
        out->mean += (double)out->sorted[i] / (double)n;
        out->bins[bin_of(out->sorted[i])]++;
    }
    for (size_t i = 0; i < n; i++)
        squares += pow((double)out->sorted[i] - out->mean, 2);
    out->std = n > 1 ? sqrt(squares / (double)(n - 1)) : NAN;
    for (size_t b = 0; b < LCF_SCORE_BINS; b++)
        out->bins[b] /= (double)n;
    return LCF_OK;
}

void lcf_score_sample_dispose(lcf_score_sample *s)
{
    free(s->sorted);
    *s = (lcf_score_sample){.n = 0};
}

/* How many scores are at or below the edge. */
static size_t count_to(const lcf_score_sample *s, float edge)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->sorted[middle] <= edge)
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

double lcf_psi(const lcf_score_sample *before, const lcf_score_sample *after)
{
    size_t last_before = 0, last_after = 0;
    double sum = 0;

    if (!before->n || !after->n)
        return NAN;
    for (size_t k = 1; k <= LCF_PSI_BINS; k++) {
        size_t at = before->n * k / LCF_PSI_BINS, to_before = before->n, to_after = after->n;
        if (k < LCF_PSI_BINS) {
            float edge = before->sorted[at ? at - 1 : 0];
            to_before = count_to(before, edge);
            to_after = count_to(after, edge);
        }
        if (to_before > last_before || to_after > last_after) {
            double p = share(last_before, to_before, before->n);
            double q = share(last_after, to_after, after->n);
            sum += (q - p) * log(q / p);
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
