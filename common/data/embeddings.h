/*
 * Embeddings: n L2-normalised f32 vectors, by row number (items) or by 16-byte key (CoT records).
 *
 * source   schemas/embeddings.md
 */
#ifndef LCF_COMMON_DATA_EMBEDDINGS_H
#define LCF_COMMON_DATA_EMBEDDINGS_H

#include "common/base/bundle.h"
#include "common/base/hash.h"
#include "common/base/status.h"

#include <stddef.h>

#define LCF_EMBEDDINGS_VERSION 1 /* kind "embeddings" */

typedef struct lcf_embeddings {
    lcf_bundle *bundle;
    size_t n, dim;
    const float *vectors; /* [n, dim]; a row of zeros means "no text" (row 0 of items, for one) */
    const lcf_hash128 *keys; /* [n] ascending, or NULL when rows are item indices */
} lcf_embeddings;

/*
 * errors   as lcf_bundle_open; EFORMAT a row whose norm is neither 1 nor 0, keys that do not ascend
 * memory   views into the file, valid until close
 */
lcf_status lcf_embeddings_open(lcf_embeddings *out, const char *path, lcf_err *err);
/* The same for DIR/NAME: items.lcf or cots.lcf of what `llmcf encode` made. */
lcf_status lcf_embeddings_open_in(lcf_embeddings *out, const char *dir, const char *name,
                                  lcf_err *err);
void lcf_embeddings_close(lcf_embeddings *e);
/* Row of that key, or (size_t)-1. Needs keys. O(log n). */
size_t lcf_embeddings_find(const lcf_embeddings *e, lcf_hash128 key);
/* keys may be NULL. Rows must already be normalised (checked to 1e-3, zeros allowed). errors:
 * EFORMAT as open; EINVAL dim is 0; ENOSPC, EIO */
lcf_status lcf_embeddings_save(const char *path, const float *vectors, const lcf_hash128 *keys,
                               size_t n, size_t dim, lcf_err *err);
/*
 * hbar of llm-cf section 4: the mean of the history items' vectors, not normalised again; zeros for
 * an empty history.
 *
 * shapes   out [dim]; history [n], each < e->n
 * order    f32, oldest first: the same bits offline and online
 */
void lcf_embeddings_mean(float *out, const lcf_embeddings *e, const uint32_t *history, size_t n);

#endif
