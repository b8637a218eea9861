/* Short sequences: sizes, and which instruction set's code runs. */
#include "common/math/short_attention.h"

#include "common/math/simd.h"

#define BLOCKS 8 /* of one head: see short_head */

static size_t lanes_of(size_t n)
{
    return (n + SHORT_LANES - 1) / SHORT_LANES * SHORT_LANES;
}

size_t lcf_short_attention_queries(size_t tokens, size_t step)
{
    return (tokens - 1) / step + 1;
}

size_t lcf_short_attention_kept_n(const lcf_short_attention *shape)
{
    const size_t queries = lcf_short_attention_queries(shape->tokens, shape->step);

    return shape->batch * shape->heads * SHORT_ROWS(queries) * lanes_of(shape->tokens);
}

size_t lcf_short_attention_scratch_n(const lcf_short_attention *shape)
{
    const size_t tokens = lanes_of(shape->tokens);

    return tokens * (BLOCKS * lanes_of(shape->head_dim) + tokens);
}

void lcf_short_attention_forward(float *out, float *kept, const float *q, const float *k,
                                 const float *v, const lcf_short_attention *shape, float *scratch)
{
    lcf_simd_get()->short_forward(out, kept, q, k, v, shape, scratch);
}

void lcf_short_attention_backward(float *dq, float *dk, float *dv, const float *dout,
                                  const float *kept, const float *q, const float *k, const float *v,
                                  const lcf_short_attention *shape, float *scratch)
{
    lcf_simd_get()->short_backward(dq, dk, dv, dout, kept, q, k, v, shape, scratch);
}
