/*
 * Small statistics: moments over seeds, percentile intervals and p-values from bootstrap
 * replicates, and corrections for many tests.
 */
#ifndef LCF_OFFLINE_EVAL_STATS_H
#define LCF_OFFLINE_EVAL_STATS_H

#include <stddef.h>

/* NaN without values; the standard deviation is that of a sample (n - 1) and NaN below two. */
double lcf_stats_mean(const double *values, size_t n);
double lcf_stats_std(const double *values, size_t n);

typedef struct lcf_interval {
    double low, high;   /* NaN when nothing is left */
    size_t undefined_n; /* replicates that were NaN and are left out */
} lcf_interval;

/*
 * Percentile interval: the (1 - confidence) / 2 quantile from either end, linear between order
 * statistics (type 7, as numpy).
 *
 * shapes   values [n], sorted in place, NaN last
 */
lcf_interval lcf_stats_interval(double *values, size_t n, double confidence);

/*
 * BCa interval: percentile points moved by how far the replicates are off the estimate (bias) and
 * by how the estimate's spread changes with its value (acceleration, from the jackknife). Better
 * than percentiles where the distribution is skewed, as near AUC 1.
 *
 * shapes   sorted [n] replicates as lcf_stats_interval leaves them (NaN last); left_out [m] the
 *          jackknife's values; value: the estimate from the data
 * returns  NaN when all replicates lie on one side of the estimate, or without any
 * source   Efron 1987; DiCiccio and Efron 1996, equation 2.10
 */
lcf_interval lcf_stats_bca(const double *sorted, size_t n, double value, const double *left_out,
                           size_t m, double confidence);

/*
 * Two-sided p-value of "the true value is 0" from replicates: twice the smaller share on either
 * side of 0, at least 2 / (n + 1), at most 1; NaN when no replicate is defined.
 *
 * source   Efron and Tibshirani 1993, section 15.4 (achieved significance level)
 */
double lcf_stats_p_value(const double *values, size_t n);

/*
 * Holm's step-down adjustment: p-values to compare with the level as if there were one test. NaNs
 * are no tests and stay NaN.
 *
 * shapes   adjusted [n] out; p [n]; may not overlap
 * cost     O(n^2), for tables of slices
 * source   Holm 1979
 */
void lcf_stats_holm(double *adjusted, const double *p, size_t n);

/*
 * Benjamini and Hochberg's step-up adjustment: judged by it at a level q, the expected share of
 * false discoveries among what is found is at most q. NaNs are no tests and stay NaN.
 *
 * shapes   adjusted [n] out; p [n]; may not overlap
 * source   Benjamini and Hochberg 1995
 */
void lcf_stats_benjamini_hochberg(double *adjusted, const double *p, size_t n);

#endif
