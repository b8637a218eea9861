/* Tokens as SHA-256. */
#include "online/server/access.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FILE_BYTES_MAX 65536

struct lcf_access {
    char digests[LCF_TOKENS_MAX][LCF_SHA256_HEX_BYTES];
    size_t n;
};

static bool is_token(const char *text, size_t n)
{
    if (n < LCF_TOKEN_BYTES_MIN || n > LCF_TOKEN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

static lcf_status read_lines(lcf_access *a, char *text, const char *path, lcf_err *err)
{
    char *rest = text, *line;
    size_t number = 0;
    lcf_status status = LCF_OK;

    while (!status && (line = strsep(&rest, "\n"))) {
        size_t n = strcspn(line, "\r");

        number++;
        line[n] = '\0';
        if (!n || *line == '#')
            continue;
        if (!is_token(line, n))
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s, line %zu: a token is %d to %d visible characters without spaces",
                            path, number, LCF_TOKEN_BYTES_MIN, LCF_TOKEN_BYTES_MAX);
        if (a->n == LCF_TOKENS_MAX)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: more than %d tokens", path, LCF_TOKENS_MAX);
        status = lcf_sha256_hex(a->digests[a->n++], line, n, err);
    }
    if (!status && !a->n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s holds no token", path);
    return status;
}

lcf_status lcf_access_open(lcf_access **out, const char *path, lcf_err *err)
{
    lcf_access *a = lcf_alloc_zero(1, sizeof(*a));
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    *out = NULL;
    if (!a)
        return LCF_FAIL(err, LCF_ENOMEM, "tokens");
    status = lcf_file_read(&text, path, FILE_BYTES_MAX, err);
    if (!status && text.len && memchr(text.data, 0, text.len))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is no text", path);
    if (!status)
        status = read_lines(a, text.len ? text.data : (char[1]){""}, path, err);
    if (!status) {
        *out = a;
        a = NULL;
    }
    if (text.data)
        explicit_bzero(text.data, text.capacity);
    lcf_buf_dispose(&text);
    lcf_access_close(a);
    return status;
}

void lcf_access_close(lcf_access *a)
{
    free(a);
}

bool lcf_access_allows(const lcf_access *a, const char *authorization)
{
    static const char SCHEME[] = "Bearer ";
    char digest[LCF_SHA256_HEX_BYTES];
    bool allowed = false;

    if (!a)
        return true;
    if (!authorization || strncasecmp(authorization, SCHEME, sizeof(SCHEME) - 1))
        return false;
    authorization += sizeof(SCHEME) - 1;
    authorization += strspn(authorization, " ");
    if (lcf_sha256_hex(digest, authorization, strlen(authorization), NULL))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        unsigned char differs = 0;

        for (size_t b = 0; b + 1 < LCF_SHA256_HEX_BYTES; b++)
            differs |= (unsigned char)(digest[b] ^ a->digests[i][b]);
        allowed |= !differs;
    }
    return allowed;
}
