/* Full ranking: see full_rank.h. */
#include "offline/eval/full_rank.h"

#include "common/math/kernels.h"

#include <math.h>

/* Scores of at least `least`; stands alone so that the compiler vectorises it. */
static uint32_t count_from(const float *scores, size_t n, float least)
{
    uint32_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += scores[i] >= least;
    return count;
}

lcf_status lcf_full_rank(uint32_t *ranks, const float *users, const float *items,
                         const lcf_full_rank_row *rows, size_t n, size_t items_n, size_t dim,
                         float *scores, lcf_err *err)
{
    lcf_linear(scores, users, items, NULL, n, dim, items_n);
    for (size_t i = 0; i < n; i++) {
        float *row = scores + i * items_n, target = row[rows[i].target];

        if (!isfinite(target))
            return LCF_FAIL(err, LCF_EDIVERGED, "the score of item %u is not finite",
                            rows[i].target);
        for (size_t j = 0; j < rows[i].seen_n; j++)
            if (rows[i].seen[j] < items_n)
                row[rows[i].seen[j]] = -INFINITY;
        row[rows[i].target] = target;
        ranks[i] = count_from(row + 1, items_n - 1, target);
    }
    return LCF_OK;
}
