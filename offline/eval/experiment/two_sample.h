/*
 * Two independent groups of users, one outcome each: difference of means by Welch's method, its
 * relative size, and CUPED, which subtracts what was known before.
 */
#ifndef LCF_OFFLINE_EVAL_EXPERIMENT_TWO_SAMPLE_H
#define LCF_OFFLINE_EVAL_EXPERIMENT_TWO_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_two_sample {
    double n[2], mean[2], variance[2]; /* of a sample (n - 1) */
    double lift, se, df;               /* mean of 1 minus mean of 0; NaN below two of either */
    double low, high, p;
    double relative, relative_low, relative_high; /* lift / mean of 0, by the delta method */
} lcf_two_sample;

/*
 * shapes   values [n]; arm [n] 0 or 1
 * order    double, in the order of the rows
 * source   Welch 1947; Deng et al. 2018 (delta method)
 */
lcf_two_sample lcf_two_sample_compute(const double *values, const uint8_t *arm, size_t n,
                                      double confidence);

typedef struct lcf_cuped {
    double theta;     /* slope of the outcome on what was before, both arms together */
    double explained; /* share of the variance that is gone: squared correlation */
    lcf_two_sample adjusted;
} lcf_cuped;

/*
 * The comparison of outcome - theta * (before - mean of before). `before` must not depend on the
 * arm: it is from before the experiment.
 *
 * shapes   values, before [n]; scratch [n]; arm [n] 0 or 1
 * returns  theta 0 where `before` is constant
 * source   Deng et al. 2013
 */
lcf_cuped lcf_cuped_compute(double *scratch, const double *values, const double *before,
                            const uint8_t *arm, size_t n, double confidence);

/*
 * Sample ratio mismatch: p-value of n0 : n1 users under the planned share of arm 1. A small one
 * (below .001, say) means that the assignment or the logging is broken, and nothing else of the
 * experiment can be believed.
 *
 * source   Pearson 1900; Fabijan et al. 2019
 */
double lcf_ratio_mismatch_p(double n0, double n1, double share1);

#endif
