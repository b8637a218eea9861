/*
 * Position-based model: the target policy ranks anew what was shown, and a reward counts with the
 * examination of the item's new position over that of its old one. Needs no propensities; right
 * where a reward is examination of the position times attraction of the item, for the examination
 * that was estimated.
 *
 * source   Joachims, Swaminathan and Schnabel 2017, "Unbiased learning-to-rank with biased
 *          feedback"; Li et al. 2018 (position-based model)
 */
#include "offline/eval/ope/slate.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_slates *s)
{
    const lcf_ope_groups *g = s->groups;

    for (size_t r = 0; r < g->n; r++) {
        double length = (double)(g->first[r + 1] - g->first[r]);
        out->base[r] = out->correction[r] = out->weight[r] = 0;
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++) {
            uint32_t i = g->row[k], to = s->log->target_position[i];
            double examined = to < s->log->positions_n ? s->examination[to] : 0;
            double weight = examined / s->examination[s->log->position[i]];
            out->correction[r] += weight * s->rows.reward[i];
            out->weight[r] += weight / length;
        }
        out->norm[r] = 1;
    }
}

const lcf_ope_slate_estimator LCF_OPE_SLATE_PBM = {"slate_pbm", "Position-based model",
                                                   LCF_OPE_NEEDS_TARGET_POSITIONS, terms};
