/*
 * IPS of whole lists: the reward of a list counts with the ratio of the probabilities of the whole
 * list. Unbiased whatever people do with a list; its variance grows with the list's length.
 *
 * source   Horvitz and Thompson 1952, with a list as the action
 */
#include "offline/eval/ope/slate.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_slates *s)
{
    const lcf_ope_groups *g = s->groups;

    for (size_t r = 0; r < g->n; r++) {
        double weight = 1;
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++)
            weight *= s->rows.weight[g->row[k]];
        out->base[r] = 0;
        out->correction[r] = weight * g->reward[r];
        out->weight[r] = weight;
        out->norm[r] = 1;
    }
}

const lcf_ope_slate_estimator LCF_OPE_SLATE_IPS = {"slate_ips", "List IPS", LCF_OPE_NEEDS_TARGETS,
                                                   terms};
