/* Distances of binary codes. */
#ifndef LCF_COMMON_MATH_HAMMING_H
#define LCF_COMMON_MATH_HAMMING_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = bits in which `code` [bytes] and row i of codes [n, bytes] differ. */
void lcf_hamming(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n, size_t bytes);

#endif
