/*
 * Codes: what collaborative filtering knows of each user and item, in a few bytes. `codes` writes
 * them from a trained binmf, prompts show them as text.
 *
 * source   schemas/codes.md
 */
#ifndef LCF_COMMON_DATA_CODES_H
#define LCF_COMMON_DATA_CODES_H

#include "common/base/bundle.h"
#include "common/base/status.h"
#include "common/data/dataset.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_CODES_VERSION 1 /* kind "codes" */

typedef struct lcf_codes {
    lcf_bundle *bundle;      /* NULL in a value that is about to be saved */
    size_t bytes;            /* of a code; the first bit is the highest of the first byte */
    size_t users_n, items_n; /* with the unknown at 0, whose code is that of no vector */
    const uint8_t *users;    /* [users_n, bytes] */
    const uint8_t *items;    /* [items_n, bytes] */
} lcf_codes;

/*
 * users_n, items_n: of the dataset they belong to.
 *
 * errors   as lcf_bundle_open; EFORMAT codes of another number of users or items, or of no bits
 * memory   arrays are views into the file, valid until close
 */
lcf_status lcf_codes_open(lcf_codes *out, const char *path, size_t users_n, size_t items_n,
                          lcf_err *err);
/*
 * Those of a folder of `llmcf codes`: codes.lcf, made of this very dataset. One of as many users
 * and items would give everybody the code of somebody else.
 *
 * errors   EINVAL the folder's manifest names another dataset; those of lcf_codes_open
 */
lcf_status lcf_codes_open_dir(lcf_codes *out, const char *dir, const lcf_dataset *d, lcf_err *err);
void lcf_codes_close(lcf_codes *codes);
/* The file appears whole or not at all. errors: ENOSPC, EIO */
lcf_status lcf_codes_save(const char *path, const lcf_codes *codes, lcf_err *err);

#endif
