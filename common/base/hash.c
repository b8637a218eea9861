/* XXH3 and SHA-256 behind our own names. Files are hashed through a bounded buffer. */
#include "common/base/hash.h"

#include "common/base/mem.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define READ_BYTES ((size_t)1 << 20)

uint64_t lcf_hash64(const void *data, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(n ? data : "", n, seed);
}

lcf_hash128 lcf_hash128_of(const void *data, size_t n)
{
    XXH128_canonical_t canonical;
    lcf_hash128 hash;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(n ? data : "", n));
    memcpy(hash.bytes, canonical.digest, sizeof(hash.bytes));
    return hash;
}

static void hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = DIGITS[bytes[i] >> 4];
        out[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

void lcf_hash128_hex(char out[33], lcf_hash128 hash)
{
    hex(out, hash.bytes, sizeof(hash.bytes));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool lcf_hash128_parse(lcf_hash128 *out, const char *text)
{
    if (strlen(text) != 2 * sizeof(out->bytes))
        return false;
    for (size_t i = 0; i < sizeof(out->bytes); i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

lcf_status lcf_sha256_hex(char out[LCF_SHA256_HEX_BYTES], const void *data, size_t n, lcf_err *err)
{
    uint8_t digest[32];

    if (EVP_Digest(n ? data : "", n, digest, NULL, EVP_sha256(), NULL) != 1)
        return LCF_FAIL(err, LCF_ENOMEM, "SHA-256 of %zu bytes failed in libcrypto", n);
    hex(out, digest, sizeof(digest));
    return LCF_OK;
}

typedef lcf_status (*chunk_fn)(void *arg, const void *data, size_t n);

static lcf_status each_chunk(const char *path, chunk_fn fn, void *arg, lcf_err *err)
{
    lcf_status status = LCF_OK;
    uint8_t *buffer = NULL;
    size_t n;
    FILE *f = fopen(path, "rb");

    if (!f)
        return LCF_FAIL_ERRNO(err, "cannot open %s", path);
    buffer = lcf_alloc(READ_BYTES, 1);
    if (!buffer) {
        status = LCF_FAIL(err, LCF_ENOMEM, "read buffer for %s", path);
        goto done;
    }
    while ((n = fread(buffer, 1, READ_BYTES, f)) > 0) {
        status = fn(arg, buffer, n);
        if (status) {
            LCF_FAIL(err, status, "hashing %s failed", path);
            goto done;
        }
    }
    if (ferror(f))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", path);
done:
    free(buffer);
    fclose(f);
    return status;
}

static lcf_status sha256_chunk(void *arg, const void *data, size_t n)
{
    return EVP_DigestUpdate(arg, data, n) == 1 ? LCF_OK : LCF_ENOMEM;
}

lcf_status lcf_sha256_file(char out[LCF_SHA256_HEX_BYTES], const char *path, lcf_err *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t digest[32];
    lcf_status status;

    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return LCF_FAIL(err, LCF_ENOMEM, "SHA-256 context for %s", path);
    }
    status = each_chunk(path, sha256_chunk, context, err);
    if (!status && EVP_DigestFinal_ex(context, digest, NULL) != 1)
        status = LCF_FAIL(err, LCF_ENOMEM, "SHA-256 of %s", path);
    if (!status)
        hex(out, digest, sizeof(digest));
    EVP_MD_CTX_free(context);
    return status;
}

typedef struct xxh_file {
    XXH3_state_t *state;
    uint64_t bytes_n;
} xxh_file;

static lcf_status xxh_chunk(void *arg, const void *data, size_t n)
{
    xxh_file *x = arg;

    x->bytes_n += n;
    return XXH3_64bits_update(x->state, data, n) == XXH_OK ? LCF_OK : LCF_EIO;
}

lcf_status lcf_hash64_file(uint64_t *hash, uint64_t *file_bytes, const char *path, lcf_err *err)
{
    xxh_file x = {XXH3_createState(), 0};
    lcf_status status;

    if (!x.state)
        return LCF_FAIL(err, LCF_ENOMEM, "XXH3 state for %s", path);
    XXH3_64bits_reset(x.state);
    status = each_chunk(path, xxh_chunk, &x, err);
    *hash = XXH3_64bits_digest(x.state);
    *file_bytes = x.bytes_n;
    XXH3_freeState(x.state);
    return status;
}
