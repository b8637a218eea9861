/*
 * The KV cache: sequences as lists of pages, taken from one pool of fixed size. Private to this
 * folder.
 *
 * Invariants: a page belongs to as many sequences as refs[page] says; only a sequence's last,
 * partly filled page is written, and it belongs to that sequence alone.
 */
#ifndef LCF_OFFLINE_LLAMA_KV_CACHE_H
#define LCF_OFFLINE_LLAMA_KV_CACHE_H

#include "common/base/status.h"
#include "offline/llama/kv_attention.h"

#include <stdint.h>

typedef struct lcf_kv_sequence {
    unsigned char **pages; /* [pages_max], the first ceil(len / LCF_KV_PAGE) are set */
    size_t len;
    size_t added; /* tokens of the batch that is being checked */
} lcf_kv_sequence;

typedef struct lcf_kv_cache {
    const lcf_kv_kernels *kernels;
    size_t seqs_max, context_n, kv_heads_n, head_dim, value_dim;
    size_t head_bytes, page_bytes;
    size_t pages_max;            /* of one sequence */
    size_t pages_n, free_n;      /* of all */
    unsigned char *pages;        /* [pages_n, page_bytes], touched only as far as used */
    unsigned char **page_table;  /* [seqs_max, pages_max] */
    uint32_t *refs, *free_pages; /* [pages_n] */
    lcf_kv_sequence *seqs;       /* [seqs_max] */
    size_t bytes_n;              /* of everything above */
} lcf_kv_cache;

typedef struct lcf_kv_options {
    size_t seqs_max, context_n, layers_n, kv_heads_n, head_dim;
    size_t bytes_max; /* of the pages; 0: as many as all sequences can fill */
    bool f16;
} lcf_kv_options;

/* errors: ENOMEM; EINVAL bytes_max does not hold one sequence of context_n. dispose also after a
 * failure. */
lcf_status lcf_kv_cache_init(lcf_kv_cache *c, const lcf_kv_options *options, lcf_err *err);
void lcf_kv_cache_dispose(lcf_kv_cache *c);

/* Bytes of one page, sizes as in a checked configuration. */
size_t lcf_kv_page_bytes(size_t layers_n, size_t kv_heads_n, size_t head_dim, bool f16);

/* Empties a sequence. */
void lcf_kv_reset(lcf_kv_cache *c, uint32_t seq);
/* dst becomes the first len tokens of src, len <= its length: full pages are shared, the rest of
 * the last one is copied. False when that needs a page and there is none: dst is then empty. */
bool lcf_kv_copy(lcf_kv_cache *c, uint32_t dst, uint32_t src, size_t len);
/* Pages that `added` more tokens of a sequence need. */
size_t lcf_kv_pages_wanted(const lcf_kv_cache *c, uint32_t seq, size_t added);
/* Room for one more token, which there must be; returns its position. */
size_t lcf_kv_append(lcf_kv_cache *c, uint32_t seq);
/* The keys and values of one sequence, layer and head. */
lcf_kv_view lcf_kv_view_of(const lcf_kv_cache *c, uint32_t seq, size_t layer, size_t head);

#endif
