/*
 * Who may ask: bearer tokens from a file, one a line; empty lines and lines that begin with # do
 * not count. Several are for the time of an exchange.
 *
 * Only digests are kept, and all of them are compared in full: neither a dump of memory nor the
 * time of an answer says what a token is.
 */
#ifndef LCF_ONLINE_SERVER_ACCESS_H
#define LCF_ONLINE_SERVER_ACCESS_H

#include "common/base/status.h"

#include <stdbool.h>

#define LCF_TOKEN_BYTES_MIN 16
#define LCF_TOKEN_BYTES_MAX 256
#define LCF_TOKENS_MAX 16

typedef struct lcf_access lcf_access;

/* errors: ENOENT, EIO; EFORMAT no token, too many, or one that is too short, too long or no text */
lcf_status lcf_access_open(lcf_access **out, const char *path, lcf_err *err);
void lcf_access_close(lcf_access *a); /* NULL is fine */
/* authorization: the header's value, or NULL. Everybody may where `a` is NULL. Any thread. */
bool lcf_access_allows(const lcf_access *a, const char *authorization);

#endif
