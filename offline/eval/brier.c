/* Brier score in double, in the order of the rows. */
#include "offline/eval/brier.h"

#include <math.h>

double lcf_brier(const float *scores, const uint8_t *labels, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += lcf_brier_row(scores[i], labels[i]);
    return n ? sum / (double)n : NAN;
}
