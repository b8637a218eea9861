/*
 * Every measure for sixteen weightings of the users at once: the inner loop of the
 * bootstrap, the jackknife and the permutation test.
 *
 * A weighting says how often each user counts, with all rows of the user. Nothing is copied: a run
 * (the scores of one seed of one arm) is sorted once and reduced to one word and one score per row
 * and five sums per user; then one walk over rows and users serves sixteen weightings, one per
 * lane. Lanes never meet, so a weighting's result is the same in every lane, beside any others, and
 * at every width of the vector unit.
 */
#ifndef LCF_OFFLINE_EVAL_WEIGHTED_H
#define LCF_OFFLINE_EVAL_WEIGHTED_H

#include "common/base/status.h"
#include "offline/eval/calibration.h"
#include "offline/eval/lists/rank.h"
#include "offline/eval/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_LANES 16
#define LCF_WEIGHTED_USERS_MAX ((size_t)1 << 29)
#define LCF_WEIGHT_MAX 255

/* What the labels say about each user; the same for all runs. Zeros for one-class users in the
 * sums "both", which are those that AUC within users is about. */
enum {
    LCF_USER_ROWS,
    LCF_USER_POSITIVES,
    LCF_USER_BOTH, /* 1 or 0 */
    LCF_USER_ROWS_BOTH,
    LCF_USER_POSITIVES_BOTH,
    LCF_USER_SUMS_N
};

typedef struct lcf_weighted_users {
    size_t rows_n, users_n;
    size_t both_n;    /* users with both classes */
    bool orders_only; /* scores are no probabilities: measures of those are NaN; false after init */
    double *sums;     /* [users_n, LCF_USER_SUMS_N] */
} lcf_weighted_users;

/* What one run says about each user. */
enum {
    LCF_RUN_LOSS,
    LCF_RUN_BRIER,
    LCF_RUN_AUC, /* 0 for one-class users, as the two below */
    LCF_RUN_AUC_ROWS,
    LCF_RUN_AUC_POSITIVES,
};

/* Lists, in blocks of LCF_USER_SUMS_N: the measures of lcf_list_metric, then how often each counts
 * (1, or 0 where it is not defined, and is then 0 itself). */
#define LCF_LIST_BLOCKS_N (2 * LCF_LIST_USER_METRICS_N / LCF_USER_SUMS_N)

typedef struct lcf_weighted_run {
    const lcf_weighted_users *users;
    uint32_t *sorted; /* [rows_n] from the highest score down: user and flags (weighted.c) */
    float *scores;    /* [rows_n] in that order */
    size_t
        bin_end[LCF_CALIBRATION_BINS]; /* rows of calibration bin b end here, the highest first */
    double *sums;                      /* [users_n, LCF_USER_SUMS_N] */
    double *lists; /* [LCF_LIST_BLOCKS_N, users_n, LCF_USER_SUMS_N] or NULL: no lists */
} lcf_weighted_run;

/*
 * shapes   labels, users [n]; each user < users_n
 * errors   ELIMIT 2^29 users or more; ENOMEM
 * memory   dispose releases, also after a failure
 */
lcf_status lcf_weighted_users_init(lcf_weighted_users *out, const uint8_t *labels,
                                   const uint32_t *users, size_t n, size_t users_n, lcf_err *err);
void lcf_weighted_users_dispose(lcf_weighted_users *u);

/* shapes: scores [n] in [0, 1], no NaN. errors: ENOMEM. `u` must outlive the run. */
lcf_status lcf_weighted_run_init(lcf_weighted_run *out, const lcf_weighted_users *u,
                                 const float *scores, const uint8_t *labels, const uint32_t *users,
                                 lcf_err *err);
/* Adds the measures of lists. errors: ENOMEM. */
lcf_status lcf_weighted_run_add_lists(lcf_weighted_run *r, const lcf_list_values *values,
                                      lcf_err *err);
void lcf_weighted_run_dispose(lcf_weighted_run *r);

/*
 * The measures under sixteen weightings.
 *
 * shapes   out [LCF_METRICS_N, LCF_LANES]; weights [users_n, LCF_LANES]
 * returns  NaN where a measure is not defined (a class without weight; measures of lists for a run
 *          without, and those of all lists together always)
 * order    double; counts are exact, sums run over users and rows in a fixed order
 * memory   allocates nothing
 * threads  safe: reads the run only
 * cost     O(rows + users)
 */
void lcf_weighted_measures(double *out, const lcf_weighted_run *r, const uint8_t *weights);
/* The same without AVX: for tests, which hold it to the definition and to the above. */
void lcf_weighted_measures_baseline(double *out, const lcf_weighted_run *r, const uint8_t *weights);

#endif
