/*
 * Knowledge: what a language model wrote about users and about items, as vectors that may be used
 * at a time: after each record of an owner, the mean of the vectors of its records so far. A lookup
 * at time t sees what was known before t, so that no row sees the record that was written about it.
 *
 * source   schemas/knowledge.md; Xi et al. 2023 (KAR)
 */
#ifndef LCF_COMMON_DATA_KNOWLEDGE_H
#define LCF_COMMON_DATA_KNOWLEDGE_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_KNOWLEDGE_VERSION 1 /* kind "knowledge" */

/* Of one kind of owner: entries [begin[i], begin[i + 1]) are those of owner i, by time. */
typedef struct lcf_known {
    size_t owners_n, n;
    const uint64_t *begin; /* [owners_n + 1] */
    const int64_t *time;   /* [n] never falling within an owner */
    const float *vectors;  /* [n, dim] running means */
} lcf_known;

typedef struct lcf_knowledge {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    size_t dim;
    lcf_known users, items; /* owners are dataset indices */
} lcf_knowledge;

/*
 * A file of schemas/knowledge.md, and the reverse: it appears whole or not at all.
 *
 * errors   open: as lcf_bundle_open; EFORMAT times that fall, a vector that is not finite; save:
 *          ENOSPC, EIO
 * memory   open: arrays are views into the file, valid until close
 */
lcf_status lcf_knowledge_open(lcf_knowledge *out, const char *path, lcf_err *err);
void lcf_knowledge_close(lcf_knowledge *k);
lcf_status lcf_knowledge_save(const char *path, const lcf_knowledge *k, lcf_err *err);

/* What was known before `time` (INT64_MAX: everything) [dim]; NULL when nothing was, and for an
 * owner that is not there. cost: O(log n) */
const float *lcf_known_before(const lcf_known *known, size_t dim, uint32_t owner, int64_t time);

#endif
