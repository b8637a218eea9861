/* Normalised entropy. */
#include "offline/eval/normalised_entropy.h"

#include <math.h>

double lcf_normalised_entropy(double log_loss, double positives, double rows)
{
    double p = positives / rows;

    if (!(p > 0 && p < 1))
        return NAN;
    return log_loss / -(p * log(p) + (1 - p) * log1p(-p));
}
