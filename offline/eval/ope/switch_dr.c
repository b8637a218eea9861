/*
 * Switch-DR: DR where the weight is at most lambda (tau in the paper), the reward model alone where
 * it is larger.
 *
 * source   Wang, Agarwal and Dudik 2017, "Optimal and adaptive off-policy evaluation in contextual
 *          bandits"
 */
#include "offline/eval/ope/estimator.h"

static double shrink(double w, double lambda)
{
    return w <= lambda ? w : 0;
}

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    for (size_t i = 0; i < s->n; i++) {
        out->weight[i] = shrink(s->weight[i], lambda);
        out->base[i] = s->q_target[i];
        out->correction[i] = out->weight[i] * (s->reward[i] - s->q_logged[i]);
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_SWITCH_DR = {"switch_dr", "Switch-DR", LCF_OPE_NEEDS_MODEL,
                                             shrink,      false,       terms};
