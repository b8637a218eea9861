/* Average precision by one walk from the highest score down. */
#include "offline/eval/pr_auc.h"

#include "offline/eval/score_order.h"

#include <math.h>

double lcf_pr_auc_sorted(const uint64_t *order, const uint8_t *labels, size_t n)
{
    double positives = 0, sum = 0;

    for (size_t i = n; i > 0;) {
        uint32_t rank = lcf_order_rank(order[i - 1]);
        double group = 0;
        while (i > 0 && lcf_order_rank(order[i - 1]) == rank)
            group += labels[lcf_order_row(order[--i])] != 0;
        positives += group;
        sum += group * positives / (double)(n - i);
    }
    return positives > 0 ? sum / positives : NAN;
}
