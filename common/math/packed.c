/*
 * Packing of weight matrices.
 */
#include "common/math/packed.h"

#include "common/math/simd.h"

size_t lcf_packed_n(size_t in, size_t out)
{
    return (out + LCF_PANEL - 1) / LCF_PANEL * LCF_PANEL * in;
}

void lcf_pack(float *packed, const float *w, size_t ldw, size_t first, size_t in, size_t out)
{
    const lcf_simd *simd = lcf_simd_get();
    size_t n;

    for (size_t o = 0; o < out; o += n) {
        const size_t at = (first + o) % LCF_PANEL;

        n = out - o < LCF_PANEL - at ? out - o : LCF_PANEL - at;
        simd->transpose(packed + (first + o - at) * in + at, LCF_PANEL, w + o * ldw, ldw, n, in);
    }
}

void lcf_packed_linear(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                       const float *bias, size_t n, size_t in, size_t out, unsigned flags)
{
    lcf_simd_get()->packed_linear(y, ldy, x, ldx, packed, bias, n, in, out, flags);
}
