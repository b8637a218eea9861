/*
 * Replay: the mean reward of the rows in which a deterministic target policy would have done what
 * was logged. Unbiased when the logging policy is uniform.
 *
 * source   Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based
 *          news article recommendation algorithms"
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        double match = s->target[i] > 0;
        out->base[i] = 0;
        out->correction[i] = match * s->reward[i];
        out->weight[i] = match;
        out->norm[i] = match;
    }
}

const lcf_ope_estimator LCF_OPE_REPLAY = {"replay", "Replay", LCF_OPE_NEEDS_DETERMINISTIC,
                                          NULL,     false,    terms};
