/*
 * Calibration slope and intercept: the logistic regression of labels on the log-odds of the scores
 * (Cox). Slope 1 and intercept 0 are perfect; a slope below 1 means scores that are too extreme, an
 * intercept below 0 (at slope 1) scores that are too high.
 */
#ifndef LCF_OFFLINE_EVAL_CALIBRATION_FIT_H
#define LCF_OFFLINE_EVAL_CALIBRATION_FIT_H

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_calibration_fit {
    double slope, intercept; /* NaN where the fit does not exist */
} lcf_calibration_fit;

/*
 * Maximum likelihood, without a penalty.
 *
 * shapes   scores [n] probabilities, clipped as for log loss; labels [n]
 * returns  NaN with one class, when all scores are equal, and when a threshold separates the
 *          classes (the slope would be infinite)
 * order    Newton's method in double, sums in the order of the rows
 * source   Cox 1958; schemas/report.md section 2
 */
lcf_calibration_fit lcf_calibration_fit_compute(const float *scores, const uint8_t *labels,
                                                size_t n);

#endif
