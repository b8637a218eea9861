/*
 * amx_bf16.h in the emulation of the instructions, the reference of bf16_amx.c.
 */
#define LCF_AMX_EMULATED
#define AMX_BF16_PRODUCT lcf_amx_bf16_product_emulated
#include "common/math/bf16_amx_impl.h"
