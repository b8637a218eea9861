/*
 * Regularised logistic regression over sparse rows, for rewards in [0, 1].
 *
 * Minimises the sum of cross-entropies plus l2 / 2 times the squared norm of the coefficients (the
 * intercept is free), by Newton's method with conjugate gradients: only products with the sparse
 * rows, no matrix of features by features. Where all rewards of the fit are 0, or all 1, no minimum
 * exists: then the coefficients are 0 and the intercept is that of half a reward of the other kind.
 *
 * source   Lin, Weng and Keerthi 2008, "Trust region Newton method for logistic regression" (here
 *          with a line search)
 */
#ifndef LCF_OFFLINE_EVAL_OPE_LOGISTIC_H
#define LCF_OFFLINE_EVAL_OPE_LOGISTIC_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Compressed sparse rows. */
typedef struct lcf_sparse_rows {
    size_t rows_n, features_n;
    const uint64_t *first; /* [rows_n + 1] */
    const uint32_t *index; /* < features_n */
    const double *value;
} lcf_sparse_rows;

/*
 * shapes   coefficients [features_n + 1] in (the start; zeros will do) and out, the intercept last;
 *          y [rows_n] in [0, 1]; rows [n] of the fit, in its order of summation
 * errors   ENOMEM
 * threads  safe
 */
lcf_status lcf_logistic_fit(double *coefficients, const lcf_sparse_rows *x, const double *y,
                            const uint32_t *rows, size_t n, double l2, lcf_err *err);

/* Cross-entropy of y in [0, 1] at the linear score z, without overflow. */
double lcf_logistic_loss(double z, double y);
/* 1 / (1 + e^-x) without overflow. */
double lcf_logistic_mean(double x);

#endif
