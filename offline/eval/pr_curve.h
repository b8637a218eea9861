/*
 * Precision-recall curve on a fixed grid of recalls, so that the curves of several seeds can be
 * averaged.
 */
#ifndef LCF_OFFLINE_EVAL_PR_CURVE_H
#define LCF_OFFLINE_EVAL_PR_CURVE_H

#include <stddef.h>
#include <stdint.h>

#define LCF_PR_POINTS 51 /* recalls 0, 1/50, ... 1 */

/*
 * Precision at the highest threshold that reaches each recall; at recall 0, at the highest
 * threshold that finds a positive. Nothing is interpolated: these are points of the curve whose
 * area is average precision, and rows of equal score share a threshold.
 *
 * shapes   precision [LCF_PR_POINTS] out, all NaN without a positive; order [n] of
 *          lcf_score_order; labels [n], 0 or not, by row
 */
void lcf_pr_grid(double *precision, const uint64_t *order, const uint8_t *labels, size_t n);

#endif
