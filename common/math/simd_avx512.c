/* The dispatched kernels for avx512; see simd_impl.h. CMakeLists.txt gives the flags. */
#define SIMD_TABLE lcf_simd_avx512
#include "common/math/simd_impl.h"
