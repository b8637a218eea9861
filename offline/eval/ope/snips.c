/*
 * Self-normalised IPS: divides by the weights that were found in place of those expected.
 * Consistent, with a bias of order 1/n; the estimate stays within the range of the rewards.
 *
 * source   Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual
 *          learning"
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        out->base[i] = 0;
        out->correction[i] = s->weight[i] * s->reward[i];
        out->weight[i] = s->weight[i];
        out->norm[i] = s->weight[i];
    }
}

const lcf_ope_estimator LCF_OPE_SNIPS = {"snips", "SNIPS", LCF_OPE_NEEDS_NOTHING,
                                         NULL,    false,   terms};
