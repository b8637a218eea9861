/*
 * AUC: the probability that a random positive scores above a random negative, ties counting one
 * half (the Mann-Whitney statistic; equal to the area under the ROC curve).
 */
#ifndef LCF_OFFLINE_EVAL_AUC_H
#define LCF_OFFLINE_EVAL_AUC_H

#include <stddef.h>
#include <stdint.h>

/*
 * AUC of n rows.
 *
 * shapes   scores [n]; labels [n], 0 or not; scratch [2 n], the caller's room; n < 2^32
 * returns  NaN when only one class is present, when n is 0, or when a score is NaN
 * order    counts are exact integers below 2^53: the same bits for any order of the rows
 * memory   allocates nothing
 * threads  safe
 * cost     O(n): a radix sort
 * source   Hanley and McNeil 1982; schemas/report.md section 2
 */
double lcf_auc(const float *scores, const uint8_t *labels, size_t n, uint64_t *scratch);

/*
 * AUC of sorted keys that carry their labels: what a walk in order of score costs least with, as it
 * looks nothing up.
 *
 * shapes   keys [n] of lcf_order_key(score, label), sorted
 * returns  NaN when only one class is present
 */
double lcf_auc_keys(const uint64_t *keys, size_t n);

#endif
