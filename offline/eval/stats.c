/* Small statistics; sums in double, in the order of the values. */
#include "offline/eval/stats.h"

#include "offline/eval/distributions.h"

#include <math.h>
#include <stdlib.h>

double lcf_stats_mean(const double *values, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return n ? sum / (double)n : NAN;
}

double lcf_stats_std(const double *values, size_t n)
{
    double mean = lcf_stats_mean(values, n), sum = 0;

    if (n < 2)
        return NAN;
    for (size_t i = 0; i < n; i++)
        sum += (values[i] - mean) * (values[i] - mean);
    return sqrt(sum / (double)(n - 1));
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;

    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

lcf_interval lcf_stats_interval(double *values, size_t n, double confidence)
{
    lcf_interval out = {NAN, NAN, n};
    size_t defined = 0;

    qsort(values, n, sizeof(*values), compare_f64);
    while (defined < n && !isnan(values[defined]))
        defined++;
    out.undefined_n = n - defined;
    if (!defined)
        return out;
    out.low = quantile(values, defined, (1 - confidence) / 2);
    out.high = quantile(values, defined, (1 + confidence) / 2);
    return out;
}

/* source: DiCiccio and Efron 1996, equation 6.6 */
static double acceleration(const double *left_out, size_t m)
{
    double mean = 0, squares = 0, cubes = 0;
    size_t defined = 0;

    for (size_t i = 0; i < m; i++)
        if (!isnan(left_out[i])) {
            mean += left_out[i];
            defined++;
        }
    mean /= (double)defined;
    for (size_t i = 0; i < m; i++) {
        double d = mean - left_out[i];
        if (isnan(d))
            continue;
        squares += d * d;
        cubes += d * d * d;
    }
    return squares > 0 ? cubes / (6 * squares * sqrt(squares)) : 0;
}

lcf_interval lcf_stats_bca(const double *sorted, size_t n, double value, const double *left_out,
                           size_t m, double confidence)
{
    lcf_interval out = {NAN, NAN, 0};
    double below = 0, bias, a, ends[2];
    size_t defined = 0;

    while (defined < n && !isnan(sorted[defined])) {
        below += sorted[defined] < value ? 1 : sorted[defined] == value ? 0.5 : 0;
        defined++;
    }
    out.undefined_n = n - defined;
    if (!defined || below <= 0 || below >= (double)defined)
        return out;
    bias = lcf_normal_quantile(below / (double)defined);
    a = acceleration(left_out, m);
    for (int side = 0; side < 2; side++) {
        double z = bias + lcf_normal_quantile((1 + (side ? confidence : -confidence)) / 2);
        ends[side] = quantile(sorted, defined, lcf_normal_cdf(bias + z / (1 - a * z)));
    }
    out.low = ends[0];
    out.high = ends[1];
    return out;
}

double lcf_stats_p_value(const double *values, size_t n)
{
    size_t below = 0, above = 0, defined = 0;
    double p;

    for (size_t i = 0; i < n; i++) {
        defined += !isnan(values[i]);
        below += values[i] <= 0;
        above += values[i] >= 0;
    }
    if (!defined)
        return NAN;
    p = 2.0 * (double)(1 + (below < above ? below : above)) / (double)(defined + 1);
    return p < 1 ? p : 1;
}

/* Step of p[i]: how many tests have a p-value at least as large, ties in the order of the array. */
static size_t tests_left(const double *p, size_t n, size_t i)
{
    size_t left = 0;

    for (size_t j = 0; j < n; j++)
        left += p[j] > p[i] || (p[j] == p[i] && j >= i);
    return left;
}

void lcf_stats_holm(double *adjusted, const double *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        adjusted[i] = p[i];
        for (size_t j = 0; j < n; j++) { /* the largest step so far, so that the order is kept */
            double step = p[j] * (double)tests_left(p, n, j);
            if (p[j] <= p[i] && step > adjusted[i])
                adjusted[i] = step;
        }
        if (adjusted[i] > 1)
            adjusted[i] = 1;
    }
}

void lcf_stats_benjamini_hochberg(double *adjusted, const double *p, size_t n)
{
    double tests = 0;

    for (size_t i = 0; i < n; i++)
        tests += !isnan(p[i]);
    for (size_t i = 0; i < n; i++) {
        double rank = 0;
        for (size_t j = 0; j < n; j++)
            rank += p[j] <= p[i];
        adjusted[i] = p[i] * tests / rank; /* at most 1 for the largest, so after the next loop */
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) /* the smallest step from here on, so that order is kept */
            if (p[j] >= p[i] && adjusted[j] < adjusted[i])
                adjusted[i] = adjusted[j];
}
