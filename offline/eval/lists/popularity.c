/* Average popularity of the items shown. */
#include "offline/eval/lists/list.h"

#include <math.h>

double lcf_list_popularity(const uint32_t *items, size_t n, const uint32_t *counts)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += counts[items[i]];
    return n ? sum / (double)n : NAN;
}
