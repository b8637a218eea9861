/*
 * What a set of codes can tell apart: how many there are, and how much each bit says.
 */
#ifndef LCF_OFFLINE_RECGEN_CODE_STATS_H
#define LCF_OFFLINE_RECGEN_CODE_STATS_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_code_stats {
    size_t distinct;
    double ones;         /* share of all bits that are 1 */
    double entropy;      /* bits that the code says about whose it is: at most log2 n */
    double *bit_entropy; /* [8 * bytes] of each bit alone: 1 where it halves the codes, 0 where it
                            is the same in all */
} lcf_code_stats;

/*
 * Of n codes of so many bytes.
 *
 * errors   ENOMEM
 * memory   free(out->bit_entropy)
 * source   Shannon 1948: entropy of the empirical distribution
 */
lcf_status lcf_code_stats_make(lcf_code_stats *out, const uint8_t *codes, size_t n, size_t bytes,
                               lcf_err *err);

#endif
