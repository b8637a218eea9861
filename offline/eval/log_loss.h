/*
 * Log loss: the mean negative log likelihood of the labels, in nats.
 */
#ifndef LCF_OFFLINE_EVAL_LOG_LOSS_H
#define LCF_OFFLINE_EVAL_LOG_LOSS_H

#include <stddef.h>
#include <stdint.h>

/* Probabilities are clipped to [LCF_LOG_LOSS_CLIP, 1 - LCF_LOG_LOSS_CLIP], so that one confident
 * error costs 16.1 nats and not infinity. */
#define LCF_LOG_LOSS_CLIP 1e-7

/* Loss of one row, in double: -ln p(label). NaN for a NaN score. */
double lcf_log_loss_row(float score, uint8_t label);

/*
 * Mean loss of n rows.
 *
 * shapes   scores [n] probabilities; labels [n], 0 or not
 * units    nats per row
 * returns  NaN when n is 0 or a score is NaN
 * order    double, in the order of the rows
 * source   schemas/report.md section 2
 */
double lcf_log_loss(const float *scores, const uint8_t *labels, size_t n);

#endif
