/*
 * YoutubeDNN's user tower: the mean of the history's items through an MLP.
 *
 * source   Covington et al. 2016, without the features that our logs do not have
 */
#include "common/model/next_item_internal.h"

#include <math.h>

static lcf_status declare(lcf_next *m, const lcf_next_config *c, lcf_err *err)
{
    const float first = 1.0f / sqrtf((float)c->dim), second = 1.0f / sqrtf((float)c->hidden);
    const next_param params[] = {
        {"0.w", c->hidden, c->dim, LCF_INIT_UNIFORM, first},
        {"0.b", c->hidden, 0, LCF_INIT_UNIFORM, first},
        {"1.w", c->dim, c->hidden, LCF_INIT_UNIFORM, second},
        {"1.b", c->dim, 0, LCF_INIT_UNIFORM, second},
    };

    return lcf_next_declare(m, "mlp", LCF_NEXT_ONE, params, 4, err);
}

static lcf_tensor *forward(const next_pass *p)
{
    next_prefixes seen;
    lcf_tensor *x;

    if (!lcf_next_prefixes(&seen, p))
        return lcf_next_table(p); /* the tape has failed: no data is touched */
    x = lcf_op_gather_mean(p->tape, lcf_next_table(p), seen.items, seen.offsets,
                           p->batch->queries_n);
    x = lcf_next_linear(p, "mlp", LCF_NEXT_ONE, "0", lcf_next_dropout(p, x));
    x = lcf_next_dropout(p, lcf_op_relu(p->tape, x));
    return lcf_next_linear(p, "mlp", LCF_NEXT_ONE, "1", x);
}

const lcf_next_encoder lcf_next_youtubednn = {"youtubednn", NULL, declare, forward};
