/*
 * Attention against the KV cache for baseline, in F32 and F16; see kv_attention_impl.h.
 * CMakeLists.txt gives the flags.
 */
#define KV_F16 0
#define KV(name) name##_f32
#define KV_TABLE lcf_kv_f32_baseline
#include "offline/llama/kv_attention_impl.h"

#undef KV_F16
#undef KV
#undef KV_TABLE
#define KV_F16 1
#define KV(name) name##_f16
#define KV_TABLE lcf_kv_f16_baseline
#include "offline/llama/kv_attention_impl.h"
