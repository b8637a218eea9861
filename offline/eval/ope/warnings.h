/*
 * What should make a reader doubt an estimate, in words: overlap, weights, rows that were dropped.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_WARNINGS_H
#define LCF_OFFLINE_EVAL_OPE_WARNINGS_H

#include "offline/eval/ope/ope.h"

#define LCF_OPE_WARN_MEAN_SE 3.0    /* standard errors between the mean weight and 1 */
#define LCF_OPE_WARN_ESS_SHARE 0.1  /* effective sample size over rows */
#define LCF_OPE_WARN_TOP_SHARE 0.25 /* of all weight in the largest 1 % */
#define LCF_OPE_WARN_UNSEEN 1e-3    /* target mass on actions that the log never shows */
#define LCF_OPE_WARN_CLUSTERS 30

/* Appends to result->warnings. */
void lcf_ope_warn(lcf_ope_result *result, const lcf_ope_log *log);

#endif
