/*
 * Brier score: the mean squared distance between probability and label.
 *
 * source   Brier 1950; schemas/report.md section 2
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

#endif
