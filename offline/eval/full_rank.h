/*
 * Full ranking: the place of each row's target among all items, by inner product.
 */
#ifndef LCF_OFFLINE_EVAL_FULL_RANK_H
#define LCF_OFFLINE_EVAL_FULL_RANK_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_full_rank_row {
    uint32_t target;
    const uint32_t *seen; /* [seen_n] items that are no candidates (the target is one all the same);
                             may repeat */
    size_t seen_n;
} lcf_full_rank_row;

/*
 * Ranks of n rows' targets among items 1 .. items_n - 1. Ties count against the target, so that a
 * model that gives all items one score gets nothing for it.
 *
 * shapes   ranks [n] out, from 1; users [n, dim]; items [items_n, dim]; scores [n, items_n] scratch
 * errors   EDIVERGED a target's score is not finite
 * cost     one matrix product
 */
lcf_status lcf_full_rank(uint32_t *ranks, const float *users, const float *items,
                         const lcf_full_rank_row *rows, size_t n, size_t items_n, size_t dim,
                         float *scores, lcf_err *err);

#endif
