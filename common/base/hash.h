/*
 * Content hashes: XXH3 for keys and fast checks, SHA-256 for the record. Values are the same on
 * every machine.
 */
#ifndef LCF_COMMON_BASE_HASH_H
#define LCF_COMMON_BASE_HASH_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_SHA256_HEX_BYTES 65 /* with the NUL */

typedef struct lcf_hash128 {
    uint8_t bytes[16]; /* canonical (big-endian) XXH3-128 */
} lcf_hash128;

uint64_t lcf_hash64(const void *data, size_t n, uint64_t seed);
lcf_hash128 lcf_hash128_of(const void *data, size_t n);
/* 32 lower-case hexadecimal digits and a NUL into out. */
void lcf_hash128_hex(char out[33], lcf_hash128 hash);
/* The reverse; false when `text` is anything else than 32 lower-case hexadecimal digits. */
bool lcf_hash128_parse(lcf_hash128 *out, const char *text);

/* SHA-256 of bytes or of a file, as 64 hexadecimal digits and a NUL. errors: EIO; of a file ENOENT,
 * too */
lcf_status lcf_sha256_hex(char out[LCF_SHA256_HEX_BYTES], const void *data, size_t n, lcf_err *err);
lcf_status lcf_sha256_file(char out[LCF_SHA256_HEX_BYTES], const char *path, lcf_err *err);
/* XXH3-64 of a whole file, seed 0, and its size. */
lcf_status lcf_hash64_file(uint64_t *hash, uint64_t *file_bytes, const char *path, lcf_err *err);

#endif
