/*
 * Log loss in double from f32 probabilities; a NaN score stays NaN through the clipping.
 */
#include "offline/eval/log_loss.h"

#include <math.h>

double lcf_log_loss_row(float score, uint8_t label)
{
    double p = label ? score : 1.0 - (double)score;

    if (p < LCF_LOG_LOSS_CLIP)
        p = LCF_LOG_LOSS_CLIP;
    else if (p > 1 - LCF_LOG_LOSS_CLIP)
        p = 1 - LCF_LOG_LOSS_CLIP;
    return -log(p);
}

double lcf_log_loss(const float *scores, const uint8_t *labels, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += lcf_log_loss_row(scores[i], labels[i]);
    return n ? sum / (double)n : NAN;
}
