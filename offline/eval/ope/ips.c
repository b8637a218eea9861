/*
 * Inverse propensity scoring: every reward counts as often more as the target policy would have
 * shown it. Unbiased wherever the logging policy can do what the target does.
 *
 * source   Horvitz and Thompson 1952; Strehl et al. 2010
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        out->base[i] = 0;
        out->correction[i] = s->weight[i] * s->reward[i];
        out->weight[i] = s->weight[i];
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_IPS = {"ips", "IPS", LCF_OPE_NEEDS_NOTHING, NULL, false, terms};
