/*
 * ROC curve on a fixed grid of false positive rates, so that the curves of several seeds can be
 * averaged vertically.
 */
#ifndef LCF_OFFLINE_EVAL_ROC_H
#define LCF_OFFLINE_EVAL_ROC_H

#include <stddef.h>
#include <stdint.h>

#define LCF_ROC_POINTS 51 /* false positive rates 0, 1/50, ... 1 */

/*
 * True positive rate at each grid point; between two thresholds, also inside a group of ties, the
 * curve is a straight line.
 *
 * shapes   tpr [LCF_ROC_POINTS] out, all NaN when a class is missing; order [n] of
 *          lcf_score_order; labels [n]
 * source   Fawcett 2006, sections 4 and 8.1 (vertical averaging)
 */
void lcf_roc_grid(double *tpr, const uint64_t *order, const uint8_t *labels, size_t n);

#endif
