/* The dispatched kernels for baseline; see simd_impl.h. CMakeLists.txt gives the flags. */
#define SIMD_TABLE lcf_simd_baseline
#include "common/math/simd_impl.h"
