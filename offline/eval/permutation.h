/*
 * Paired permutation test: if the arms were the same, it would not matter which of a user's two
 * rankings is called A. So each user's arms change places with probability one half, and the share
 * of such mixtures whose lift is at least as large as the one seen is the p-value.
 *
 * Log loss, Brier score and the measures within users compare what is said about one user; AUC,
 * PR-AUC and ECE compare rows of different users, and a mixture puts scores of both arms on one
 * scale. Their test is of the arms' scores, scale and all, being exchangeable.
 *
 * source   Fisher 1935; Smucker et al. 2007; schemas/report.md section 3
 */
#ifndef LCF_OFFLINE_EVAL_PERMUTATION_H
#define LCF_OFFLINE_EVAL_PERMUTATION_H

#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "offline/eval/metrics.h"
#include "offline/eval/table.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_permutation_options {
    size_t permutations_n; /* 0: none, all p are NaN */
    uint64_t seed;
    size_t list_k;          /* where lists end; 0: no lists */
    lcf_progress *progress; /* advanced by one per permutation; NULL is fine */
} lcf_permutation_options;

/*
 * Two-sided p-value of no lift for every measure: (1 + mixtures with |lift| >= |lift seen|) / (1 +
 * mixtures). Seed s of A changes places with seed s of B, for all seeds of a user at once.
 *
 * shapes   p [LCF_METRICS_N] out: NaN where the lift is not defined, and all NaN when the arms have
 *          different numbers of seeds
 * errors   ELIMIT 2^28 users or 2^31 rows or more; ENOMEM; ECANCELED
 * cost     O(permutations * seeds * 2 rows / lanes)
 */
lcf_status lcf_permutation_test(double *p, const lcf_eval_table *t, lcf_pool *pool,
                                const lcf_permutation_options *options, lcf_err *err);

#endif
