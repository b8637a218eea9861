/*
 * Reward-interaction IPS: the reward at a position counts with the weight of the items down to it.
 * Unbiased where people read from the top, so that what stands below a position does not change
 * what they do there.
 *
 * source   McInerney, Brost, Chandar, Mehrotra and Carterette 2020, "Counterfactual evaluation of
 *          slate recommendations with sequential reward interactions"
 */
#include "offline/eval/ope/slate.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_slates *s)
{
    const lcf_ope_groups *g = s->groups;

    for (size_t r = 0; r < g->n; r++) {
        double weight = 1;
        out->base[r] = out->correction[r] = 0;
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++) {
            uint32_t i = g->row[k];
            weight *= s->rows.weight[i];
            out->correction[r] += weight * s->rows.reward[i];
        }
        out->weight[r] = weight;
        out->norm[r] = 1;
    }
}

const lcf_ope_slate_estimator LCF_OPE_SLATE_RIPS = {"slate_rips", "Reward-interaction IPS",
                                                    LCF_OPE_NEEDS_TARGETS, terms};
