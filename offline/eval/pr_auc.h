/*
 * PR-AUC: the area under the precision-recall curve as average precision, the sum over thresholds
 * of (gain in recall) * precision. The trapezoid rule would interpolate between points that no
 * threshold reaches (Davis and Goadrich 2006) and is not used.
 */
#ifndef LCF_OFFLINE_EVAL_PR_AUC_H
#define LCF_OFFLINE_EVAL_PR_AUC_H

#include <stddef.h>
#include <stdint.h>

/*
 * Average precision of n rows; rows of equal score share one threshold, so their order does not
 * matter.
 *
 * shapes   order [n] of lcf_score_order; labels [n], 0 or not, by row
 * returns  NaN without a positive
 * order    thresholds from the highest down, in double
 * source   as sklearn.metrics.average_precision_score; schemas/report.md section 2
 */
double lcf_pr_auc_sorted(const uint64_t *order, const uint8_t *labels, size_t n);

#endif
