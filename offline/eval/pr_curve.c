/* Walks the rows from the highest score down, a group of equal scores at a time. */
#include "offline/eval/pr_curve.h"

#include "offline/eval/score_order.h"

#include <math.h>

void lcf_pr_grid(double *precision, const uint64_t *order, const uint8_t *labels, size_t n)
{
    size_t positives = 0, found = 0, point = 0;

    for (size_t i = 0; i < n; i++)
        positives += labels[i] != 0;
    for (size_t i = 0; i < LCF_PR_POINTS; i++)
        precision[i] = NAN;
    for (size_t i = n; i > 0 && found < positives;) {
        uint32_t rank = lcf_order_rank(order[i - 1]);
        while (i > 0 && lcf_order_rank(order[i - 1]) == rank)
            found += labels[lcf_order_row(order[--i])] != 0;
        /* in whole numbers, so that recall 1/50 of 50 positives is reached by one */
        for (; found && point < LCF_PR_POINTS && found * (LCF_PR_POINTS - 1) >= point * positives;
             point++)
            precision[point] = (double)found / (double)(n - i);
    }
}
