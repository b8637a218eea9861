/*
 * Score drift: how far the scores of one sample are distributed differently from those of another,
 * an arm's on two splits, or two arms' on one.
 *
 * A score sample is a histogram of twenty bins of equal width and, for comparisons, the edges of
 * its deciles. The population stability index (PSI) compares shares of rows in the deciles of the
 * first sample: below .1 is called stable, above .25 a shift. It is a convention of credit scoring
 * and no test: with many rows a PSI of .01 can be significant and matter to nobody.
 */
#ifndef LCF_OFFLINE_EVAL_DRIFT_H
#define LCF_OFFLINE_EVAL_DRIFT_H

#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>

#define LCF_SCORE_BINS 20
#define LCF_SCORE_LEVELS 65536 /* scores that differ by less than 1/65536 may count as equal */
#define LCF_PSI_BINS 10

typedef struct lcf_score_sample {
    size_t n;                    /* 0: there is no such sample */
    double bins[LCF_SCORE_BINS]; /* share of the scores in [b/20, (b+1)/20), 1 in the last */
    double mean, std;
    size_t *up_to; /* [LCF_SCORE_LEVELS] scores below (level + 1) / 65536; the last: all */
} lcf_score_sample;

/*
 * Scores of all seeds together.
 *
 * shapes   scores [n]
 * errors   EFORMAT a score is NaN or outside [0, 1] (its place is named); ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_score_sample_init(lcf_score_sample *out, const float *scores, size_t n,
                                 lcf_err *err);
void lcf_score_sample_dispose(lcf_score_sample *s);

/*
 * Sum over the deciles of `before` of (q - p) ln(q / p), p and q the shares of `before` and
 * `after`, each at least 1e-4. Deciles that equal scores make one count once. NaN when either is
 * missing.
 *
 * source   Siddiqi 2006 (Credit Risk Scorecards), chapter 9
 */
double lcf_psi(const lcf_score_sample *before, const lcf_score_sample *after);

/*
 * The same over bins of one's own. NaN when either has no count.
 *
 * shapes   before, after [n] counts
 */
double lcf_psi_counts(const size_t *before, const size_t *after, size_t n);

/* As a member of report.json, null when there is none. New, or NULL when out of memory. */
json_t *lcf_score_sample_json(const lcf_score_sample *s);

#endif
