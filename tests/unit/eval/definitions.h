/*
 * Measures as they are defined, one after another: what the program's one pass over weighted rows
 * is held against, and what reference values are held against in turn.
 */
#ifndef LCF_TESTS_UNIT_EVAL_DEFINITIONS_H
#define LCF_TESTS_UNIT_EVAL_DEFINITIONS_H

#include "offline/eval/calibration.h"

#include <stddef.h>
#include <stdint.h>

/* AUC of rows in the order of lcf_score_order, each counted weights[row] times (NULL: once); NaN
 * when a class has no weight. */
double auc_of_order(const uint64_t *order, const uint8_t *labels, const uint32_t *weights,
                    size_t n);
/*
 * The area under the precision-recall curve as average precision, of rows in that order: the sum
 * over thresholds of (gain in recall) * precision, rows of equal score sharing one; NaN without
 * positives. The trapezoid rule would interpolate between points that no threshold reaches (Davis
 * and Goadrich 2006).
 *
 * source   as sklearn.metrics.average_precision_score; schemas/report.md section 2
 */
double pr_auc_of_order(const uint64_t *order, const uint8_t *labels, size_t n);
/* Mean squared distance of probability and label; NaN without rows. */
double brier_of(const float *scores, const uint8_t *labels, size_t n);
/* Sum over bins of (share of rows) * |mean score - share of positives|; NaN without rows. source:
 * Guo et al. 2017, equation 3 */
double ece_of(const lcf_calibration *c);

#endif
