/*
 * The binary codes that a trained BinMF has for users and items.
 */
#ifndef LCF_COMMON_MODEL_BINMF_H
#define LCF_COMMON_MODEL_BINMF_H

#include "common/model/ranker.h"

#include <stdint.h>

typedef struct lcf_binmf_codes {
    size_t bytes; /* of a code, dim / 8; the first element is the highest bit of the first byte */
    size_t users_n, items_n; /* with the unknown at 0 */
    uint8_t *users, *items;  /* [users_n, bytes], [items_n, bytes] */
} lcf_binmf_codes;

/*
 * errors   EINVAL the ranker is no binmf, or its dim no multiple of 8; ENOMEM
 * memory   the caller disposes *out; empty on failure
 */
lcf_status lcf_binmf_codes_of(lcf_binmf_codes *out, const lcf_ranker *r, lcf_err *err);
void lcf_binmf_codes_dispose(lcf_binmf_codes *codes);

#endif
