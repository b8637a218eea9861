/* The engine's inner loops for avx512; see kv_attention_impl.h. CMakeLists.txt gives the flags. */
#define KV_ATTEND lcf_kv_attend_avx512
#include "offline/llama/kv_attention_impl.h"
