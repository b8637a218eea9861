/*
 * Products of bf16 operands by AMX, up to 32 columns at a time: what training and the batch engine
 * share. bf16_amx_impl.h is the one source; bf16_amx.c compiles it into the instructions,
 * bf16_amx_emulated.c into their emulation.
 */
#ifndef LCF_COMMON_MATH_AMX_BF16_H
#define LCF_COMMON_MATH_AMX_BF16_H

#include <stdbool.h>
#include <stddef.h>

/*
 * C [m, n] = A [m, k] B [k, n], or C + A B, with n <= 32 and k even.
 *
 * Where operands lie, in bytes: rows of A are a_row apart, or a_group for every sixteenth; 32
 * columns of A stand side by side, the next 32 a_step further on. B is in pairs of k [k / 2, n, 2]:
 * pairs are b_row apart, or b_step for every sixteenth; 16 columns stand side by side, those from
 * the 16th on b_second further on.
 *
 * order    32 products at a time, as TILE_DOT_BF16 adds them: a row's sums do not depend on m
 * threads  safe; the instructions need lcf_amx_ready()
 */
typedef struct lcf_amx_bf16 {
    float *c;
    size_t ldc;
    const void *a;
    size_t a_row, a_group, a_step;
    const void *b;
    size_t b_row, b_second, b_step;
    size_t b_ahead; /* how far ahead of B memory is asked for it; 0: it is in a cache */
    size_t m, n, k;
    bool add;
} lcf_amx_bf16;

void lcf_amx_bf16_product(const lcf_amx_bf16 *p);
void lcf_amx_bf16_product_emulated(const lcf_amx_bf16 *p);

#endif
