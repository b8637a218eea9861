/* A bundle's checksums, made right after a mutation. */
#include "tests/fuzz/bundle.h"

#include "common/base/bundle.h"
#include "common/base/hash.h"

#include <string.h>

/* As in bundle.md. */
enum {
    HEADER_BYTES = 64,
    ARRAYS_N_AT = 32,
    DIRECTORY_AT = 40,
    FILE_BYTES_AT = 48,
    DIRECTORY_HASH_AT = 56,
    ENTRY_BYTES = 128,
    DTYPE_AT = 64,
    DIMS_N_AT = 68,
    DIMS_AT = 72,
    OFFSET_AT = 104,
    HASH_AT = 112,
};

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static void mend_entry(uint8_t *file, uint64_t directory, uint8_t *entry)
{
    uint64_t n = lcf_dtype_bytes((lcf_dtype)u32_at(entry + DTYPE_AT));
    const uint64_t offset = u64_at(entry + OFFSET_AT);

    for (uint32_t i = 0; i < u32_at(entry + DIMS_N_AT) && i < LCF_BUNDLE_DIMS_MAX; i++)
        if (__builtin_mul_overflow(n, u64_at(entry + DIMS_AT + i * 8), &n))
            return;
    if (offset <= directory && n <= directory - offset)
        put_u64(entry + HASH_AT, lcf_hash64(file + offset, n, 0));
}

void fuzz_bundle_mend(uint8_t *file, size_t size)
{
    uint64_t directory, bytes;

    if (size < HEADER_BYTES)
        return;
    directory = u64_at(file + DIRECTORY_AT);
    bytes = (uint64_t)u32_at(file + ARRAYS_N_AT) * ENTRY_BYTES;
    put_u64(file + FILE_BYTES_AT, size);
    if (directory > size || bytes > size - directory)
        return;
    for (uint64_t at = directory; at < directory + bytes; at += ENTRY_BYTES)
        mend_entry(file, directory, file + at);
    put_u64(file + DIRECTORY_HASH_AT, lcf_hash64(file + directory, bytes, 0));
}
