/*
 * IPS with weights of at most lambda: less variance, biased towards 0 for rewards that are not
 * negative.
 *
 * source   Ionides 2008, "Truncated importance sampling"; Bottou et al. 2013
 */
#include "offline/eval/ope/estimator.h"

static double shrink(double w, double lambda)
{
    return w < lambda ? w : lambda;
}

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    for (size_t i = 0; i < s->n; i++) {
        out->weight[i] = shrink(s->weight[i], lambda);
        out->base[i] = 0;
        out->correction[i] = out->weight[i] * s->reward[i];
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_CLIPPED_IPS = {"clipped_ips", "IPS, clipped", LCF_OPE_NEEDS_NOTHING,
                                               shrink,        false,          terms};
