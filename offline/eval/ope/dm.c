/*
 * Direct method: what a reward model expects of the target policy. As biased as the model; its
 * interval covers new contexts, not the model's own error.
 *
 * source   Beygelzimer and Langford 2009, "The offset tree for learning with partial labels"
 */
#include "offline/eval/ope/estimator.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    (void)lambda;
    for (size_t i = 0; i < s->n; i++) {
        out->base[i] = s->q_target[i];
        out->correction[i] = 0;
        out->weight[i] = 0;
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_DM = {"dm", "Direct method", LCF_OPE_NEEDS_MODEL,
                                      NULL, false,           terms};
