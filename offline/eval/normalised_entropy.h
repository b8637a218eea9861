/*
 * Normalised entropy (NE): log loss over the entropy of the share of positives, so 1 for a model
 * that says that share for every row, and below 1 for one that knows more.
 */
#ifndef LCF_OFFLINE_EVAL_NORMALISED_ENTROPY_H
#define LCF_OFFLINE_EVAL_NORMALISED_ENTROPY_H

/*
 * log_loss in nats per row; positives and rows may be weighted counts.
 *
 * returns  NaN when only one class is present
 * source   He et al. 2014, section 2; schemas/report.md section 2
 */
double lcf_normalised_entropy(double log_loss, double positives, double rows);

#endif
