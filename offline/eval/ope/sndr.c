/*
 * Self-normalised doubly robust: as DR, with the corrections divided by the weights that were
 * found.
 *
 * source   Thomas and Brunskill 2016, "Data-efficient off-policy policy evaluation for
 * reinforcement learning" (weighted doubly robust, horizon 1)
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        out->base[i] = s->q_target[i];
        out->correction[i] = s->weight[i] * (s->reward[i] - s->q_logged[i]);
        out->weight[i] = s->weight[i];
        out->norm[i] = s->weight[i];
    }
}

const lcf_ope_estimator LCF_OPE_SNDR = {"sndr", "SNDR", LCF_OPE_NEEDS_MODEL, NULL, false, terms};
