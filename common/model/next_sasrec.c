/*
 * SASRec as an encoder of histories: the last token that a query sees is the user.
 *
 * source   Kang and McAuley 2018; sasrec.h
 */
#include "common/model/next_item_internal.h"
#include "common/model/sasrec.h"

static const char *const NAMES[SASREC_PARAMS_N] = {
#define PARAM_NAME(id, name, rows, cols, init) name,
    SASREC_PARAMS(PARAM_NAME)
#undef PARAM_NAME
};

static lcf_status check(const lcf_next_config *c, lcf_err *err)
{
    if (c->dim % c->heads_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "next-item configuration: dim %u is no multiple of heads_n %u", c->dim,
                        c->heads_n);
    return LCF_OK;
}

static lcf_status declare_block(lcf_next *m, uint32_t block, const lcf_next_config *c, lcf_err *err)
{
    const size_t d = c->dim, h = c->hidden;
    const next_param params[SASREC_PARAMS_N] = {
#define PARAM(id, name, rows, cols, init) {name, rows, cols, init, 0.0f},
        SASREC_PARAMS(PARAM)
#undef PARAM
    };

    return lcf_next_declare(m, "block", block, params, SASREC_PARAMS_N, err);
}

static lcf_status declare(lcf_next *m, const lcf_next_config *c, lcf_err *err)
{
    const next_param position = {"table", c->history_max, c->dim, LCF_INIT_NORMAL,
                                 SASREC_POSITION_SCALE};
    const next_param norm[] = {{"w", c->dim, 0, LCF_INIT_ONE, 0.0f},
                               {"b", c->dim, 0, LCF_INIT_ZERO, 0.0f}};
    lcf_status status = lcf_next_declare(m, "position", LCF_NEXT_ONE, &position, 1, err);

    for (uint32_t i = 0; i < c->layers_n && !status; i++)
        status = declare_block(m, i, c, err);
    return status ? status : lcf_next_declare(m, "final", LCF_NEXT_ONE, norm, 2, err);
}

static lcf_tensor *param(const void *owner, size_t block, size_t i)
{
    return lcf_next_param(owner, "block", (uint32_t)block, NAMES[i]);
}

static lcf_tensor *forward(const next_pass *p)
{
    const lcf_next_batch *b = p->batch;
    const sasrec_net net = {.dim = p->config->dim,
                            .blocks_n = p->config->layers_n,
                            .heads_n = p->config->heads_n,
                            .dropout = p->config->dropout,
                            .position = lcf_next_param(p, "position", LCF_NEXT_ONE, "table"),
                            .norm_w = lcf_next_param(p, "final", LCF_NEXT_ONE, "w"),
                            .norm_b = lcf_next_param(p, "final", LCF_NEXT_ONE, "b"),
                            .param = param,
                            .owner = p};
    lcf_tensor *items =
        lcf_op_gather(p->tape, lcf_next_table(p), p->items, b->offsets[b->sequences_n]);
    lcf_tensor *x = lcf_sasrec_encode(p->tape, &net, items, b->offsets, b->sequences_n, p->rng);

    /* without memory the tape has failed: no data is touched */
    return x ? lcf_sasrec_norm(p->tape, &net, lcf_next_last(p, x)) : lcf_next_table(p);
}

const lcf_next_encoder lcf_next_sasrec = {"sasrec", check, declare, forward};
