/* What inference without a tape's records is made of: packed weights, and runs of rows. */
#include "common/base/mem.h"
#include "common/math/packed.h"
#include "common/model/backbone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

float *lcf_ranker_pack_take(ranker_packer *packer, size_t n)
{
    float *to = packer->memory ? packer->memory + packer->used : NULL;

    packer->used += (n + 15) / 16 * 16;
    return to;
}

float *lcf_ranker_pack(ranker_packer *packer, const size_t *params, size_t params_n, size_t first,
                       size_t in)
{
    const size_t *dims = packer->r->params.list[params[0]].dims;
    float *to = lcf_ranker_pack_take(packer, lcf_packed_n(in, params_n * dims[0]));

    for (size_t i = 0; to && i < params_n; i++)
        lcf_pack(to, lcf_params_value(&packer->r->params, params[i]) + first, dims[1], i * dims[0],
                 in, dims[0]);
    return to;
}

float *lcf_ranker_fold(ranker_packer *packer, const ranker_mlp *mlp, size_t i,
                       const ranker_packed_part *parts, size_t parts_n)
{
    const lcf_params *p = &packer->r->params;
    const ranker_norm *norm = &mlp->norm[i];
    const size_t out = p->list[mlp->b[i]].n;
    float *bias = lcf_ranker_pack_take(packer, out);

    if (!bias)
        return NULL;
    memcpy(bias, lcf_params_value(p, mlp->b[i]), out * sizeof(*bias));
    for (size_t o = 0; o < out && mlp->normed; o++) {
        const float scale = lcf_params_value(p, norm->w)[o] /
                            sqrtf(lcf_params_value(p, norm->variance)[o] + LCF_RANKER_NORM_EPS);

        bias[o] = (bias[o] - lcf_params_value(p, norm->mean)[o]) * scale +
                  lcf_params_value(p, norm->b)[o];
        for (size_t part = 0; part < parts_n; part++)
            for (size_t j = 0; j < parts[part].in; j++)
                parts[part].packed[o / LCF_PANEL * LCF_PANEL * parts[part].in + j * LCF_PANEL +
                                   o % LCF_PANEL] *= scale;
    }
    return bias;
}

lcf_status lcf_ranker_plan_create(ranker_plan *out, const lcf_ranker *r, size_t state_bytes,
                                  void (*pack)(void *state, ranker_packer *packer))
{
    ranker_packer packer = {r, NULL, 0};

    *out = (ranker_plan){lcf_alloc_zero(1, state_bytes), NULL};
    if (!out->state)
        return LCF_ENOMEM;
    pack(out->state, &packer); /* counts */
    packer.memory = out->memory = lcf_alloc_aligned(packer.used, sizeof(float));
    if (!packer.memory) {
        lcf_ranker_plan_free(out);
        return LCF_ENOMEM;
    }
    memset(packer.memory, 0, packer.used * sizeof(float));
    packer.used = 0;
    pack(out->state, &packer);
    return LCF_OK;
}

void lcf_ranker_plan_free(ranker_plan *plan)
{
    free(plan->state);
    free(plan->memory);
    *plan = (ranker_plan){NULL, NULL};
}

size_t lcf_ranker_run_end(const ranker_batch *b, size_t begin)
{
    size_t end = begin + 1;

    while (end < b->rows_n && b->user[end] == b->user[begin] &&
           b->history[end] == b->history[begin])
        end++;
    return end;
}
