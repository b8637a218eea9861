/*
 * Matrix kernels in the emulation of AMX: what matrix_amx.c is held against, where there is
 * AVX-512.
 */
#define LCF_AMX_EMULATED
#define AMX(name) lcf_matrix_##name##_amx_emulated
#define AMX_BF16_PRODUCT lcf_amx_bf16_product_emulated
#include "offline/llama/matrix_amx_impl.h"
