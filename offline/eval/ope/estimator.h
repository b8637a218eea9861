/*
 * Estimators of the value of a target policy from a log of another policy: one small interface, one
 * file each, one table.
 *
 * Every estimator here has the form
 *     value = mean of base_i + sum of correction_i / sum of norm_i
 * over the n units of the log (rows, or whole slates), and only says what base, correction and norm
 * of a unit are. Point estimates, normal intervals and the bootstrap follow from those
 * (offline/eval/ope/inference.h).
 */
#ifndef LCF_OFFLINE_EVAL_OPE_ESTIMATOR_H
#define LCF_OFFLINE_EVAL_OPE_ESTIMATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an estimator sees of a log. */
typedef struct lcf_ope_sample {
    size_t n;
    const double *reward; /* [n] */
    const double *target; /* [n] probability of the logged action under the target policy */
    const double *weight; /* [n] target / propensity */
    const double *q_logged, *q_target; /* [n] the reward model at the logged action, and its mean
                                          under the target policy; NULL without a model */
} lcf_ope_sample;

typedef struct lcf_ope_terms {
    double *base, *correction, *norm; /* [n] */
    double *weight; /* [n] that the unit's reward enters with, for the effective sample size; all 0:
                       rewards do not enter by weights */
} lcf_ope_terms;

typedef enum lcf_ope_needs {
    LCF_OPE_NEEDS_NOTHING = 0,
    LCF_OPE_NEEDS_MODEL = 1, /* candidates, so that a reward model can be asked about them */
    LCF_OPE_NEEDS_DETERMINISTIC = 2, /* a target policy that takes one action for sure */
} lcf_ope_needs;

typedef struct lcf_ope_estimator {
    const char *name;  /* of JSON and gates, e.g. "snips" */
    const char *title; /* for people */
    int needs;         /* lcf_ope_needs */
    /* The weight in place of w; NULL: w itself. lambda is chosen from the data (tune.h). */
    double (*shrink)(double w, double lambda);
    bool lambda_squared; /* lambda is compared with w^2, not with w */
    void (*terms)(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda);
} lcf_ope_estimator;

extern const lcf_ope_estimator LCF_OPE_REPLAY, LCF_OPE_IPS, LCF_OPE_CLIPPED_IPS, LCF_OPE_SNIPS,
    LCF_OPE_DM, LCF_OPE_DR, LCF_OPE_SNDR, LCF_OPE_SWITCH_DR, LCF_OPE_DROS;

/* All of them, in the order of reports; NULL ends the list. */
#define LCF_OPE_ESTIMATORS_N 9
extern const lcf_ope_estimator *const LCF_OPE_ESTIMATORS[LCF_OPE_ESTIMATORS_N + 1];

#endif
