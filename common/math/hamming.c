/* Distances of binary codes: see hamming.h. */
#include "common/math/hamming.h"

#include "common/math/simd.h"

void lcf_hamming(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n, size_t bytes)
{
    lcf_simd_get()->hamming(out, code, codes, n, bytes);
}
