/* The engine's inner loops for avx2; see kv_attention_impl.h. CMakeLists.txt gives the flags. */
#define KV_ATTEND lcf_kv_attend_avx2
#include "offline/llama/kv_attention_impl.h"
