/*
 * Independent IPS: the reward at a position counts with the weight of that position alone. Right
 * where a reward depends on the item and its position only, and the items above do not change which
 * are left.
 *
 * source   Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen 2018, "Offline evaluation of
 *          ranking policies with click models" (item-position model)
 */
#include "offline/eval/ope/slate.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_slates *s)
{
    const lcf_ope_groups *g = s->groups;

    for (size_t r = 0; r < g->n; r++) {
        double length = (double)(g->first[r + 1] - g->first[r]);
        out->base[r] = out->correction[r] = out->weight[r] = 0;
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++) {
            uint32_t i = g->row[k];
            out->correction[r] += s->rows.weight[i] * s->rows.reward[i];
            out->weight[r] += s->rows.weight[i] / length;
        }
        out->norm[r] = 1;
    }
}

const lcf_ope_slate_estimator LCF_OPE_SLATE_IIPS = {"slate_iips", "Independent IPS",
                                                    LCF_OPE_NEEDS_TARGETS, terms};
