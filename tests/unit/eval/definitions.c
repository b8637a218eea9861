/* Measures by their definitions: see definitions.h. */
#include "tests/unit/eval/definitions.h"

#include "offline/eval/score_order.h"

#include <math.h>

double auc_of_order(const uint64_t *order, const uint8_t *labels, const uint32_t *weights, size_t n)
{
    double positives = 0, negatives = 0, twice_wins = 0;

    for (size_t i = 0; i < n;) {
        uint32_t rank = lcf_order_rank(order[i]);
        uint64_t group[2] = {0, 0};
        for (; i < n && lcf_order_rank(order[i]) == rank; i++) {
            uint32_t row = lcf_order_row(order[i]);
            group[labels[row] != 0] += weights ? weights[row] : 1;
        }
        twice_wins += (double)group[1] * (2 * negatives + (double)group[0]);
        negatives += (double)group[0];
        positives += (double)group[1];
    }
    if (positives == 0 || negatives == 0)
        return NAN;
    return twice_wins / (2 * positives * negatives);
}

double pr_auc_of_order(const uint64_t *order, const uint8_t *labels, size_t n)
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

double brier_of(const float *scores, const uint8_t *labels, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ((double)scores[i] - labels[i]) * ((double)scores[i] - labels[i]);
    return n ? sum / (double)n : NAN;
}

double ece_of(const lcf_calibration *c)
{
    double sum = 0;

    for (size_t b = 0; b < LCF_CALIBRATION_BINS; b++)
        sum += fabs(c->bins[b].score_sum - c->bins[b].positives);
    return c->rows_n ? sum / (double)c->rows_n : NAN;
}
