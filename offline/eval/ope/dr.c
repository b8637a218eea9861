/*
 * Doubly robust: the reward model, corrected by the weighted errors it made on what was logged.
 * Unbiased when the propensities are right; less variance than IPS when the model is any good.
 *
 * source   Dudik, Erhan, Langford and Li 2014, "Doubly robust policy evaluation and optimization"
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        out->base[i] = s->q_target[i];
        out->correction[i] = s->weight[i] * (s->reward[i] - s->q_logged[i]);
        out->weight[i] = s->weight[i];
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_DR = {"dr", "DR", LCF_OPE_NEEDS_MODEL, NULL, false, terms};
