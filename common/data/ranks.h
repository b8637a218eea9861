/*
 * Ranks: where the target of each row of one split stood among all items, for every seed.
 * `train-next` writes them, `compare-next` reads them.
 *
 * source   schemas/ranks.md
 */
#ifndef LCF_COMMON_DATA_RANKS_H
#define LCF_COMMON_DATA_RANKS_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_RANKS_VERSION 1 /* kind "ranks" */

typedef struct lcf_ranks {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    size_t rows_n, seeds_n;
    uint32_t candidates_n;       /* items that were ranked, the largest rank that can be */
    uint8_t seen_masked;         /* 1: items of the user's past were no candidates */
    const uint64_t *row;         /* [rows_n] sample index in the dataset, ascending */
    const uint32_t *user, *item; /* [rows_n] */
    const uint64_t *seeds;       /* [seeds_n] */
    const uint32_t *ranks;       /* [seeds_n, rows_n] from 1 */
} lcf_ranks;

/*
 * A file of schemas/ranks.md, and the reverse: it appears whole or not at all.
 *
 * errors   open: as lcf_bundle_open; EFORMAT rows that do not ascend, a rank out of range; save:
 *          the same, ELIMIT, ENOSPC, EIO
 * memory   open: arrays are views into the file, valid until close
 */
lcf_status lcf_ranks_open(lcf_ranks *out, const char *path, lcf_err *err);
void lcf_ranks_close(lcf_ranks *r);
lcf_status lcf_ranks_save(const char *path, const lcf_ranks *r, lcf_err *err);

#endif
