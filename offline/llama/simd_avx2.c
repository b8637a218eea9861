/*
 * The engine's inner loops for avx2; see kv_attention_impl.h and packed_linear_impl.h.
 * CMakeLists.txt gives the flags.
 */
#define KV_ATTEND lcf_kv_attend_avx2
#define PACKED_LINEAR lcf_packed_linear_avx2
#include "offline/llama/kv_attention_impl.h"
#include "offline/llama/packed_linear_impl.h"
