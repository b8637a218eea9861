/*
 * Cascade-DR: reward-interaction IPS with the reward model as a control variate at every position.
 * Unbiased under the same assumption, whatever the model is worth.
 *
 * With W_k the weight down to position k, W_0 = 1, q and v what the model expects of the item at k
 * and of the target policy there, and later_k what it expects of the positions below, given the
 * items above k alone: sum over k of W_k (r_k - q_k - later_k) + W_(k-1) (v_k + later_k)
 *
 * source   Kiyohara, Saito, Matsuhiro, Narita, Shimizu and Yamamoto 2022, "Doubly robust off-policy
 *          evaluation for ranking policies under the cascade behavior model"; Jiang and Li 2016
 */
#include "offline/eval/ope/slate.h"

static void terms(const lcf_ope_terms *out, const lcf_ope_slates *s)
{
    const lcf_ope_groups *g = s->groups;

    for (size_t r = 0; r < g->n; r++) {
        double above = 1, weight = 1;
        out->base[r] = out->correction[r] = 0;
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++) {
            uint32_t i = g->row[k];
            weight = above * s->rows.weight[i];
            out->correction[r] +=
                weight * (s->rows.reward[i] - s->rows.q_logged[i] - s->q_later[i]);
            out->correction[r] += above * (s->rows.q_target[i] + s->q_later[i]);
            above = weight;
        }
        out->weight[r] = weight;
        out->norm[r] = 1;
    }
}

const lcf_ope_slate_estimator LCF_OPE_SLATE_CASCADE_DR = {
    "slate_cascade_dr", "Cascade-DR", LCF_OPE_NEEDS_TARGETS | LCF_OPE_NEEDS_MODEL, terms};
