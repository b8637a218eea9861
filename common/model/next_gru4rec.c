/*
 * GRU4Rec: a GRU reads the history; its last state, mapped, is the user.
 *
 * source   Hidasi et al. 2016
 */
#include "common/model/next_item_internal.h"

#include <math.h>

static lcf_status declare(lcf_next *m, const lcf_next_config *c, lcf_err *err)
{
    const size_t gates = 3 * (size_t)c->hidden;
    const float scale = 1.0f / sqrtf((float)c->hidden);
    const next_param out[] = {
        {"w", c->dim, c->hidden, LCF_INIT_UNIFORM, scale},
        {"b", c->dim, 0, LCF_INIT_UNIFORM, scale},
    };
    lcf_status status = LCF_OK;

    for (uint32_t i = 0; i < c->layers_n && !status; i++) {
        const next_param params[] = {
            {"in.w", gates, i ? c->hidden : c->dim, LCF_INIT_XAVIER_UNIFORM, 0.0f},
            {"in.b", gates, 0, LCF_INIT_ZERO, 0.0f},
            {"state.w", gates, c->hidden, LCF_INIT_XAVIER_UNIFORM, 0.0f},
            {"state.b", gates, 0, LCF_INIT_ZERO, 0.0f},
        };

        status = lcf_next_declare(m, "gru", i, params, 4, err);
    }
    return status ? status : lcf_next_declare(m, "out", LCF_NEXT_ONE, out, 2, err);
}

static lcf_tensor *forward(const next_pass *p)
{
    const lcf_next_batch *b = p->batch;
    lcf_tensor *x = lcf_op_gather(p->tape, lcf_next_table(p), p->items, b->offsets[b->sequences_n]);

    x = lcf_next_dropout(p, x);
    for (uint32_t i = 0; i < p->config->layers_n; i++)
        x = lcf_op_gru(p->tape, lcf_next_linear(p, "gru", i, "in", x),
                       lcf_next_param(p, "gru", i, "state.w"),
                       lcf_next_param(p, "gru", i, "state.b"), b->offsets, b->sequences_n);
    x = lcf_next_last(p, x);
    return lcf_op_linear(p->tape, x, lcf_next_param(p, "out", LCF_NEXT_ONE, "w"),
                         lcf_next_param(p, "out", LCF_NEXT_ONE, "b"));
}

const lcf_next_encoder lcf_next_gru4rec = {"gru4rec", NULL, declare, forward};
