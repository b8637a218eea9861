/*
 * Packing of weight matrices, and the choice of the product for this processor.
 */
#include "offline/llama/packed_linear.h"

#include "common/math/kernels.h"

size_t lcf_packed_n(size_t in, size_t out)
{
    return (out + LCF_PANEL - 1) / LCF_PANEL * LCF_PANEL * in;
}

void lcf_pack(float *packed, const float *w, size_t first, size_t in, size_t out)
{
    for (size_t o = 0; o < out; o++) {
        float *column = packed + (first + o) / LCF_PANEL * LCF_PANEL * in + (first + o) % LCF_PANEL;
        for (size_t i = 0; i < in; i++)
            column[i * LCF_PANEL] = w[o * in + i];
    }
}

lcf_packed_linear_fn lcf_packed_linear_best(void)
{
#if defined(__x86_64__)
    switch (lcf_simd_best()) {
    case LCF_SIMD_AVX512:
        return lcf_packed_linear_avx512;
    case LCF_SIMD_AVX2:
        return lcf_packed_linear_avx2;
    case LCF_SIMD_BASELINE:
        break;
    }
#endif
    return lcf_packed_linear_baseline;
}
