/*
 * Reliability bins. The edges are the doubles b / 10 and a score on an edge belongs to the bin
 * below, as in Guo et al. and in scikit-learn's calibration_curve.
 */
#include "offline/eval/calibration.h"

#include <math.h>

size_t lcf_calibration_bin_of(double score)
{
    size_t b = 0;

    while (b < LCF_CALIBRATION_BINS - 1 && score > (double)(b + 1) / LCF_CALIBRATION_BINS)
        b++;
    return b;
}

void lcf_calibration_add(lcf_calibration *c, const float *scores, const uint8_t *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lcf_calibration_bin *bin = &c->bins[lcf_calibration_bin_of(scores[i])];
        bin->rows_n++;
        bin->score_sum += scores[i];
        bin->positives += labels[i] != 0;
        c->correct_n += (scores[i] >= 0.5f) == (labels[i] != 0);
    }
    c->rows_n += n;
}

double lcf_calibration_accuracy(const lcf_calibration *c)
{
    return c->rows_n ? (double)c->correct_n / (double)c->rows_n : NAN;
}

double lcf_calibration_bias(const lcf_calibration *c)
{
    double scores = 0, positives = 0;

    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++) {
        scores += c->bins[b].score_sum;
        positives += c->bins[b].positives;
    }
    return positives > 0 ? scores / positives : NAN;
}
