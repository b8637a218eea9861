/* The engine's inner loops for baseline; see kv_attention_impl.h. CMakeLists.txt gives the flags.
 */
#define KV_ATTEND lcf_kv_attend_baseline
#include "offline/llama/kv_attention_impl.h"
