/*
 * AUC by one walk over the rows in ascending order of score. At the end of each group of equal
 * scores, its positives win against every negative seen before and draw with those of the group.
 * Twice the statistic is kept, so that halves stay integers and sums exact.
 */
#include "offline/eval/auc.h"

#include "offline/eval/score_order.h"

#include <math.h>

double lcf_auc_keys(const uint64_t *keys, size_t n)
{
    double positives = 0, negatives = 0, twice_wins = 0;

    for (size_t i = 0; i < n;) {
        uint32_t rank = lcf_order_rank(keys[i]);
        uint64_t rows = 0, group = 0;
        for (; i < n && lcf_order_rank(keys[i]) == rank; i++, rows++)
            group += keys[i] & 1;
        twice_wins += (double)group * (2 * negatives + (double)(rows - group));
        negatives += (double)(rows - group);
        positives += (double)group;
    }
    if (positives == 0 || negatives == 0)
        return NAN;
    return twice_wins / (2 * positives * negatives);
}

double lcf_auc(const float *scores, const uint8_t *labels, size_t n, uint64_t *scratch)
{
    if (lcf_scores_first_nan(scores, n) < n)
        return NAN;
    for (size_t i = 0; i < n; i++)
        scratch[i] = lcf_order_key(scores[i], labels[i] != 0);
    lcf_order_sort(scratch, n, scratch + n);
    return lcf_auc_keys(scratch, n);
}
