/*
 * Packing: training rows of different lengths side by side in sequences of at most `cutoff` tokens,
 * so that little is computed on padding. Each row is a segment of its own with its own positions:
 * packed or alone, it gives the same loss.
 *
 * Life cycle: init for a number of rows -> fill ... -> dispose. One thread.
 */
#ifndef LCF_OFFLINE_RECGEN_PACK_H
#define LCF_OFFLINE_RECGEN_PACK_H

#include "offline/llama/llama_train.h"
#include "offline/recgen/mixture.h"

typedef struct lcf_pack {
    lcf_train_seq *seqs; /* [n], views into the block below */
    size_t n, rows_max, cutoff;
    uint32_t *tokens, *segments, *positions; /* [rows_max, cutoff] */
    int32_t *targets;
    size_t *order; /* [rows_max] scratch */
} lcf_pack;

/* errors: ENOMEM */
lcf_status lcf_pack_init(lcf_pack *p, size_t rows_max, size_t cutoff, lcf_err *err);
void lcf_pack_dispose(lcf_pack *p);
/*
 * Puts n rows (n <= rows_max, each of 1 to cutoff tokens) into as few sequences as first-fit by
 * falling length finds. Deterministic. The views are valid until the next fill.
 */
void lcf_pack_fill(lcf_pack *p, const lcf_row *rows, size_t n);

#endif
