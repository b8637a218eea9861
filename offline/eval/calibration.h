/*
 * Calibration: whether rows scored p are positive with frequency p. A reliability table over ten
 * bins of equal width, accuracy and bias. (The expected calibration error that follows from the
 * bins is one of the weighted measures: offline/eval/weighted.h.)
 */
#ifndef LCF_OFFLINE_EVAL_CALIBRATION_H
#define LCF_OFFLINE_EVAL_CALIBRATION_H

#include <stddef.h>
#include <stdint.h>

#define LCF_CALIBRATION_BINS 10

typedef struct lcf_calibration_bin {
    size_t rows_n;
    double score_sum;
    double positives;
} lcf_calibration_bin;

typedef struct lcf_calibration {
    lcf_calibration_bin bins[LCF_CALIBRATION_BINS]; /* bin b: (b/10, (b+1)/10], 0 in the first */
    size_t rows_n, correct_n;                       /* correct: (score >= 1/2) is the label */
} lcf_calibration;

/* The bin of a score. */
size_t lcf_calibration_bin_of(double score);

/*
 * Adds n rows; begin with a zeroed *c. Adding the seeds of an arm one after another pools them.
 *
 * shapes   scores [n] in [0, 1], no NaN; labels [n]
 */
void lcf_calibration_add(lcf_calibration *c, const float *scores, const uint8_t *labels, size_t n);

/* Share of rows on the right side of one half; NaN without rows. */
double lcf_calibration_accuracy(const lcf_calibration *c);
/* Mean score over share of positives, 1 when neither over- nor underestimating; NaN without
 * positives. */
double lcf_calibration_bias(const lcf_calibration *c);

#endif
