/*
 * Doubly robust with optimistic shrinkage: weights lambda w / (w^2 + lambda), between DR (lambda
 * infinite) and the direct method (0).
 *
 * source   Su, Dimakopoulou, Krishnamurthy and Dudik 2020, "Doubly robust off-policy evaluation
 * with shrinkage"
 */
#include "offline/eval/ope/estimator.h"

#include <math.h>

static double shrink(double w, double lambda)
{
    return isinf(lambda) ? w : lambda * w / (w * w + lambda);
}

static void terms(const lcf_ope_terms *out, const lcf_ope_sample *s, double lambda)
{
    for (size_t i = 0; i < s->n; i++) {
        out->weight[i] = shrink(s->weight[i], lambda);
        out->base[i] = s->q_target[i];
        out->correction[i] = out->weight[i] * (s->reward[i] - s->q_logged[i]);
        out->norm[i] = 1;
    }
}

const lcf_ope_estimator LCF_OPE_DROS = {"dros", "DRos", LCF_OPE_NEEDS_MODEL, shrink, true, terms};
