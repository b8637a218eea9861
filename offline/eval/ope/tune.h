/*
 * The hyper-parameter of estimators that shrink weights, chosen from the data: the lambda of a grid
 * with the smallest bound on the mean squared error, which is sample variance / n + bias bound^2.
 *
 * Two rules for the bias: `bound` is the direct estimate |mean of (w - w') (r - q)| plus what
 * Bernstein's inequality allows for its error with probability 1 - delta,
 *     sqrt(2 mean(w^2) ln(2/delta) / n) + 2 max(w) ln(2/delta) / (3 n),
 * with w' the shrunken weights, q the reward model (0 for IPS), delta = 0.05: it shrinks only where
 * that costs nearly no bias. `direct` is the estimate alone: it shrinks more, and can be misled by
 * the noise of the estimate.
 *
 * The grid is 24 values in geometric progression, for thresholds from the 5 % quantile of the
 * positive weights to the largest, for shrinkage (which compares lambda with w^2) from 0.01 times
 * the square of the one to 100 times that of the other; then infinity: no shrinking. Ties go to the
 * larger lambda.
 *
 * source   Su, Dimakopoulou, Krishnamurthy and Dudik 2020, direct bias estimation; Wang, Agarwal
 * and Dudik 2017, section 4 (minimise estimated variance + squared bias bound). The grid is ours.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_TUNE_H
#define LCF_OFFLINE_EVAL_OPE_TUNE_H

#include "common/base/status.h"
#include "offline/eval/ope/estimator.h"

#define LCF_OPE_TUNE_DELTA 0.05
#define LCF_OPE_GRID_N 25

typedef enum lcf_ope_tuning {
    LCF_OPE_TUNE_BOUND,
    LCF_OPE_TUNE_DIRECT,
} lcf_ope_tuning;

/*
 * *lambda is infinite for an estimator that does not shrink.
 *
 * errors   ENOMEM
 * cost     O(n (grid + log n))
 */
lcf_status lcf_ope_tune(double *lambda, const lcf_ope_estimator *estimator,
                        const lcf_ope_sample *sample, lcf_ope_tuning rule, lcf_err *err);

#endif
