/*
 * AUC of rows that come in order of score, and at the same time AUC without each of a few groups of
 * users, for a jackknife: every pair of a positive and a negative is counted once in all, and once
 * for the groups of either.
 */
#ifndef LCF_OFFLINE_EVAL_STREAM_AUC_GROUPS_H
#define LCF_OFFLINE_EVAL_STREAM_AUC_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#define LCF_STREAM_GROUPS 32

typedef struct lcf_auc_groups {
    double total[2]; /* negatives and positives there are, set before adding */
    double group_total[LCF_STREAM_GROUPS][2];
    double seen[2], group_seen[LCF_STREAM_GROUPS][2];
    double wins, tied; /* pairs ordered rightly, ties one half; pairs tied */
    double of_positives[LCF_STREAM_GROUPS], of_negatives[LCF_STREAM_GROUPS];
    double within[LCF_STREAM_GROUPS]; /* wins of the group's own pairs */
} lcf_auc_groups;

/* The rows of the next higher score: counts [LCF_STREAM_GROUPS, 2] of negatives and positives. */
void lcf_auc_groups_add(lcf_auc_groups *a, const uint64_t counts[LCF_STREAM_GROUPS][2]);
/* Of all rows, and of all but one group; NaN when a class is missing. */
double lcf_auc_groups_value(const lcf_auc_groups *a);
double lcf_auc_groups_without(const lcf_auc_groups *a, size_t group);
/* The AUC of rows whose ties are broken in any way is within this of the value. */
double lcf_auc_groups_bound(const lcf_auc_groups *a);

#endif
