/*
 * Distribution functions and their inverses, in double: normal, Student's t, chi-squared, binomial
 * with p = 1/2. Relative errors stay below 1e-12 where a p-value is used at all (tests hold them to
 * SciPy within 1e-10).
 */
#ifndef LCF_OFFLINE_EVAL_DISTRIBUTIONS_H
#define LCF_OFFLINE_EVAL_DISTRIBUTIONS_H

/* P(Z <= x), and the x with P(Z <= x) = p; -inf and +inf at 0 and 1, NaN outside. */
double lcf_normal_cdf(double x);
double lcf_normal_quantile(double p);

/* P(T <= x) and its inverse, df > 0 degrees of freedom (not necessarily a whole number). */
double lcf_student_cdf(double x, double df);
double lcf_student_quantile(double p, double df);

/* P(X > x), df > 0. */
double lcf_chi2_sf(double x, double df);

/* Two-sided p-values of a standard normal and of Student's t; NaN for NaN. */
double lcf_normal_p(double z);
double lcf_student_p(double t, double df);

/* Exact two-sided p-value of k successes in n fair coin tosses; 1 when n is 0. */
double lcf_coin_p(double k, double n);

#endif
