/* Novelty: how surprising the items shown are, in bits. */
#include "offline/eval/lists/list.h"

#include <math.h>

double lcf_list_novelty(const uint32_t *items, size_t n, const uint32_t *counts, size_t items_n,
                        uint64_t samples_n)
{
    double all = log2((double)samples_n + (double)items_n), sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += all - log2((double)counts[items[i]] + 1);
    return n ? sum / (double)n : NAN;
}
