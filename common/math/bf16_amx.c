/*
 * amx_bf16.h in the instructions. Compiled for AVX-512; called where lcf_amx_ready().
 */
#define AMX_BF16_PRODUCT lcf_amx_bf16_product
#include "common/math/bf16_amx_impl.h"
