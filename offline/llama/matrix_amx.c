/*
 * Matrix kernels in the instructions of AMX; the caller has asked lcf_amx_ready().
 */
#define AMX(name) lcf_matrix_##name##_amx
#define AMX_BF16_PRODUCT lcf_amx_bf16_product
#include "offline/llama/matrix_amx_impl.h"
