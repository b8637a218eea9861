/*
 * AUC within users: how well one user's own rows are ordered, which is what a ranking for that user
 * shows. Users with one class only have no AUC: they are skipped and counted.
 *
 * Names differ between papers. UAUC here is the plain mean over users (CoLLM, BinLLM: "UAUC"); GAUC
 * weights each user by impressions, which are rows (DIN's paper, FuxiCTR: "gAUC"), or by positives
 * (RecBole: "GAUC").
 */
#ifndef LCF_OFFLINE_EVAL_USER_AUC_H
#define LCF_OFFLINE_EVAL_USER_AUC_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_user_auc {
    double uauc, gauc_impressions, gauc_positives; /* NaN when every user is skipped */
    size_t users_n;                                /* users with both classes */
    size_t skipped_n;                              /* users with rows of one class only */
} lcf_user_auc;

/*
 * All means at once, and each user's AUC where wanted.
 *
 * shapes   per_user [users_max] out, may be NULL: NaN for users with one class or no row;
 *          scores, labels, users [n]; each user < users_max
 * order    sums in double, by ascending user
 * errors   EINVAL a NaN score (the row is named); ENOMEM
 * cost     O(n + users_max)
 * source   Zhou et al. 2018 (DIN) section 6.2; schemas/report.md section 2
 */
lcf_status lcf_user_auc_compute(lcf_user_auc *out, double *per_user, const float *scores,
                                const uint8_t *labels, const uint32_t *users, size_t n,
                                size_t users_max, lcf_err *err);

#endif
