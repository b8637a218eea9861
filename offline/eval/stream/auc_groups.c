/* All counts are whole numbers or halves, exact below 2^52. */
#include "offline/eval/stream/auc_groups.h"

#include <math.h>

void lcf_auc_groups_add(lcf_auc_groups *a, const uint64_t counts[LCF_STREAM_GROUPS][2])
{
    double now[2] = {0, 0}, below, above;

    for (size_t g = 0; g < LCF_STREAM_GROUPS; g++)
        for (size_t c = 0; c < 2; c++)
            now[c] += (double)counts[g][c];
    below = a->seen[0] + now[0] / 2;               /* what a positive here wins against */
    above = a->total[1] - a->seen[1] - now[1] / 2; /* what wins against a negative here */
    a->wins += now[1] * below;
    a->tied += now[1] * now[0];
    for (size_t g = 0; g < LCF_STREAM_GROUPS; g++) {
        double negatives = (double)counts[g][0], positives = (double)counts[g][1];
        a->of_positives[g] += positives * below;
        a->of_negatives[g] += negatives * above;
        a->within[g] += positives * (a->group_seen[g][0] + negatives / 2);
        a->group_seen[g][0] += negatives;
        a->group_seen[g][1] += positives;
    }
    a->seen[0] += now[0];
    a->seen[1] += now[1];
}

static double over(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

double lcf_auc_groups_value(const lcf_auc_groups *a)
{
    return over(a->wins, a->total[0] * a->total[1]);
}

double lcf_auc_groups_without(const lcf_auc_groups *a, size_t group)
{
    double negatives = a->total[0] - a->group_total[group][0];
    double positives = a->total[1] - a->group_total[group][1];

    return over(a->wins - a->of_positives[group] - a->of_negatives[group] + a->within[group],
                negatives * positives);
}

double lcf_auc_groups_bound(const lcf_auc_groups *a)
{
    return over(a->tied / 2, a->total[0] * a->total[1]);
}
