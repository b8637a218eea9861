/*
 * Brier score: the mean squared distance between probability and label.
 */
#ifndef LCF_OFFLINE_EVAL_BRIER_H
#define LCF_OFFLINE_EVAL_BRIER_H

#include <stddef.h>
#include <stdint.h>

/* Of one row, in double. NaN for a NaN score. */
static inline double lcf_brier_row(float score, uint8_t label)
{
    double d = (double)score - (label != 0);

    return d * d;
}

/*
 * Mean of n rows.
 *
 * shapes   scores [n] probabilities; labels [n], 0 or not
 * returns  NaN when n is 0 or a score is NaN
 * source   Brier 1950; schemas/report.md section 2
 */
double lcf_brier(const float *scores, const uint8_t *labels, size_t n);

#endif
