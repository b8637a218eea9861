/*
 * The engine's inner loops for baseline; see kv_attention_impl.h and packed_linear_impl.h.
 * CMakeLists.txt gives the flags.
 */
#define KV_ATTEND lcf_kv_attend_baseline
#define PACKED_LINEAR lcf_packed_linear_baseline
#include "offline/llama/kv_attention_impl.h"
#include "offline/llama/packed_linear_impl.h"
