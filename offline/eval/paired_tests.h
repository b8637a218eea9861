/*
 * Paired tests that need no resampling of rows: Student's t over seeds, McNemar over decisions, and
 * what a comparison of this size can find.
 */
#ifndef LCF_OFFLINE_EVAL_PAIRED_TESTS_H
#define LCF_OFFLINE_EVAL_PAIRED_TESTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_t_test {
    double t, df, p;  /* two-sided; NaN below two differences or when they are all equal */
    double low, high; /* interval of the mean difference */
} lcf_t_test;

/* shapes: differences [n], one per pair. source: Student 1908. */
lcf_t_test lcf_paired_t(const double *differences, size_t n, double confidence);

typedef struct lcf_mcnemar {
    double only_a, only_b;   /* rows that only this arm puts on the right side of the threshold */
    double p_rows;           /* exact (binomial), rows independent */
    double z_users, p_users; /* rows of a user dependent; NaN when no user tells the arms apart */
} lcf_mcnemar;

/*
 * Adds the decisions of one pair of runs, (score >= threshold) against the label: begin with a
 * zeroed *m and zeroed sums. Adding the pairs of several seeds pools them.
 *
 * shapes   sums [users_n] in and out: rows that only B gets right minus rows that only A does;
 *          a, b, labels, users [n]; each user < users_n
 * source   McNemar 1947
 */
void lcf_mcnemar_add(lcf_mcnemar *m, double *sums, const float *a, const float *b,
                     const uint8_t *labels, const uint32_t *users, size_t n, float threshold);
/* Fills the p-values; p_rows needs rows that were added once, with several seeds it is too small.
 * source: Obuchowski 1998 (clusters: sum of the users' differences over the root of the sum of
 * their squares). */
void lcf_mcnemar_finish(lcf_mcnemar *m, const double *sums, size_t users_n);

/* The smallest true difference that a two-sided test at level 1 - confidence finds with that power,
 * when the estimate's standard error is se. */
double lcf_detectable(double se, double confidence, double power);
/* How many users would be needed to find the difference seen, when users_n gave standard error se;
 * NaN for a difference of 0. The standard error is taken to shrink with the root of the users. */
double lcf_users_needed(double difference, double se, double users_n, double confidence,
                        double power);

#endif
