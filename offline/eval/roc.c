/*
 * Walks the rows from the highest score down. After each group of ties the curve has a vertex; grid
 * points passed on the way to it get the line's value. At a vertical step the upper end counts.
 */
#include "offline/eval/roc.h"

#include "offline/eval/score_order.h"

#include <math.h>

static size_t group_end(size_t *positives, const uint64_t *order, const uint8_t *labels, size_t i)
{
    uint32_t rank = lcf_order_rank(order[i - 1]);

    while (i > 0 && lcf_order_rank(order[i - 1]) == rank)
        *positives += labels[lcf_order_row(order[--i])] != 0;
    return i;
}

void lcf_roc_grid(double *tpr, const uint64_t *order, const uint8_t *labels, size_t n)
{
    size_t positives = 0, seen = 0, point = 0;
    double x = 0, y = 0;

    for (size_t i = 0; i < n; i++)
        positives += labels[i] != 0;
    for (size_t i = 0; i < LCF_ROC_POINTS; i++)
        tpr[i] = positives && positives < n ? 1 : NAN;
    if (!positives || positives == n)
        return;
    for (size_t i = n; i > 0;) {
        i = group_end(&seen, order, labels, i);
        double y2 = (double)seen / (double)positives;
        double x2 = (double)(n - i - seen) / (double)(n - positives);
        for (; point < LCF_ROC_POINTS; point++) {
            double at = (double)point / (LCF_ROC_POINTS - 1);
            if (at >= x2)
                break;
            tpr[point] = y + (y2 - y) * (at - x) / (x2 - x);
        }
        x = x2;
        y = y2;
    }
}
