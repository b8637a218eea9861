/*
 * Team-draft interleaving over simulated sessions: which arm's rows would users click, shown both
 * arms' lists as one?
 *
 * In a session a user sees K rows. In each round a coin decides which arm picks first; each picks
 * its best row that is not shown yet. The user looks at position i with chance 1 / log2(i + 1) and
 * clicks what he looks at when it is relevant. The arm that picked more of the clicked rows wins
 * the session. Far more sensitive than comparing the arms on users of their own, as every user
 * judges both.
 *
 * source   Radlinski et al. 2008 (team draft); Chapelle et al. 2012; schemas/report.md section 6
 */
#ifndef LCF_OFFLINE_EVAL_LISTS_INTERLEAVE_H
#define LCF_OFFLINE_EVAL_LISTS_INTERLEAVE_H

#include "common/base/status.h"
#include "offline/eval/lists/rank.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_INTERLEAVE_SESSIONS 10 /* of each user and pair of seeds */

typedef struct lcf_interleaving {
    double wins[2], ties; /* sessions won by either arm, and by neither */
    double preference;    /* mean over users of (won by B - won by A) / sessions, -1 to 1 */
    double low, high, p;  /* Student's t over users; NaN below two users */
    size_t users_n;       /* with a relevant row: others cannot click */
} lcf_interleaving;

/*
 * shapes   preferences [users_n] in and out: zeroed at first, summed over calls for pairs of seeds;
 *          a, b [rows_n] scores
 * order    sessions draw from one stream per user: the same at any order of calls with other
 *          streams
 * errors   ENOMEM
 */
lcf_status lcf_interleave_add(lcf_interleaving *out, double *preferences, const lcf_candidates *c,
                              const float *a, const float *b, uint64_t seed, uint64_t pair,
                              lcf_err *err);
/* Fills what follows from the sums over pairs_n calls. */
void lcf_interleave_finish(lcf_interleaving *out, const double *preferences,
                           const lcf_candidates *c, size_t pairs_n, double confidence);

#endif
