/*
 * DeLong's method: the variance of AUC, and of the difference of two AUCs over the same rows,
 * without resampling. By rows, as if they were independent, and by users (Obuchowski), who are the
 * unit here as in the bootstrap.
 *
 * The placement of a positive is the share of negatives that score below it, of a negative the
 * share of positives above it, ties counting one half; AUC is the mean of either. Placements of
 * several seeds are averaged: the mean of their AUCs is then a mean of the same kind. Costs a sort:
 * O(n), not O(positives x negatives) (Sun and Xu).
 *
 * source   DeLong et al. 1988; Obuchowski 1997; Sun and Xu 2014; schemas/report.md section 3
 */
#ifndef LCF_OFFLINE_EVAL_DELONG_H
#define LCF_OFFLINE_EVAL_DELONG_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Adds weight * placement of every row.
 *
 * shapes   placements [n] in and out, by row; order [n] of lcf_score_order; labels [n], both
 *          classes present
 */
void lcf_placements_add(double *placements, const uint64_t *order, const uint8_t *labels, size_t n,
                        double weight);

typedef struct lcf_delong {
    double auc;      /* mean placement of the positives */
    double se_rows;  /* rows independent */
    double se_users; /* rows of a user dependent; NaN with one user */
} lcf_delong;

/*
 * Mean and standard errors of one arm's AUC from its placements, or of B - A from the differences
 * of two arms' placements.
 *
 * shapes   placements, labels, users [n]; each user < users_n
 * errors   ENOMEM
 * order    double, by row, then by user
 */
lcf_status lcf_delong_compute(lcf_delong *out, const double *placements, const uint8_t *labels,
                              const uint32_t *users, size_t n, size_t users_n, lcf_err *err);

#endif
