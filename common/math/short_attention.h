/*
 * Causal attention over many short sequences, forward and backward: what a decoder over a few dozen
 * tokens needs in training. Queries and keys are turned by RoPE on the way in, their gradients
 * turned back on the way out, so that a layer's product is read as it is.
 *
 * Each head of a sequence is computed whole in a block that stays in the first-level cache; the
 * probabilities are kept for the backward pass.
 *
 * source   RoPE in interleaved pairs, as lcf_rope_rotate; scores scaled by 1 / sqrt(head_dim)
 */
#ifndef LCF_COMMON_MATH_SHORT_ATTENTION_H
#define LCF_COMMON_MATH_SHORT_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

/* To these, rows of scratch and of what is kept are rounded up: multiples of every vector's width
 * and of every tile's height. */
#define SHORT_LANES 16
#define SHORT_ROWS(n) (((n) + 7) / 8 * 8)

typedef struct lcf_short_attention {
    size_t batch, tokens, heads, head_dim; /* head_dim even, all at least 1 */
    size_t step;             /* queries: tokens that stand a multiple of step before the last */
    const uint32_t *padding; /* [batch] how many tokens at the beginning are not there, each below
                                `tokens`; NULL: none */
    const float *angles;     /* [tokens, head_dim] of lcf_rope_angles */
    size_t ldq, ldk;         /* floats between rows of q, and of k and v */
} lcf_short_attention;

/* Queries of a sequence. */
size_t lcf_short_attention_queries(size_t tokens, size_t step);
/* Floats of what forward keeps for backward, and of the scratch that each wants. */
size_t lcf_short_attention_kept_n(const lcf_short_attention *shape);
size_t lcf_short_attention_scratch_n(const lcf_short_attention *shape);

/*
 * shapes   out [batch, queries, heads, head_dim] dense; q [batch * queries] rows, k, v [batch *
 *          tokens] rows, each row beginning with heads * head_dim floats; kept, scratch as above.
 *          Rows of queries that are not there are zeros.
 */
void lcf_short_attention_forward(float *out, float *kept, const float *q, const float *k,
                                 const float *v, const lcf_short_attention *shape, float *scratch);
/* OVERWRITES dq, dk, dv, laid out as q, k, v: zeros where nothing is. dout is laid out as out. */
void lcf_short_attention_backward(float *dq, float *dk, float *dv, const float *dout,
                                  const float *kept, const float *q, const float *k, const float *v,
                                  const lcf_short_attention *shape, float *scratch);

#endif
