/*
 * The block formats of GGUF tensors, to and from f32. Each function converts `blocks_n` blocks that
 * lie one after another; any alignment.
 *
 * Widening is bit for bit what the formats' definition says in f32 arithmetic without fused
 * multiply-add; narrowing rounds as ggml's reference quantisers do (to the K types: to the least
 * squared error that it finds) and maps what is not finite to the nearest code.
 *
 * source   the ggml block formats (struct block_q4_0 .. block_q6_K)
 */
#ifndef LCF_OFFLINE_LLAMA_GGUF_BLOCKS_H
#define LCF_OFFLINE_LLAMA_GGUF_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

typedef void lcf_widen_fn(float *out, const uint8_t *data, size_t blocks_n);
typedef void lcf_narrow_fn(uint8_t *out, const float *x, size_t blocks_n);

lcf_widen_fn lcf_widen_f32, lcf_widen_f16, lcf_widen_bf16;
lcf_widen_fn lcf_widen_q4_0, lcf_widen_q4_1, lcf_widen_q5_0, lcf_widen_q5_1, lcf_widen_q8_0;
lcf_widen_fn lcf_widen_q4_k, lcf_widen_q5_k, lcf_widen_q6_k;

lcf_narrow_fn lcf_narrow_f32, lcf_narrow_f16, lcf_narrow_bf16;
lcf_narrow_fn lcf_narrow_q4_0, lcf_narrow_q4_1, lcf_narrow_q5_0, lcf_narrow_q5_1, lcf_narrow_q8_0;
lcf_narrow_fn lcf_narrow_q4_k, lcf_narrow_q5_k, lcf_narrow_q6_k; /* gguf_blocks_k.c */

#endif
