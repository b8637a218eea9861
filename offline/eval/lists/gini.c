/* Gini coefficient of the exposures. */
#include "offline/eval/lists/list.h"

#include <math.h>
#include <stdlib.h>

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double lcf_list_gini(uint32_t *exposures, size_t items_n)
{
    double n = (double)items_n, weighted = 0, sum = 0;

    qsort(exposures, items_n, sizeof(*exposures), compare_u32);
    for (size_t i = 0; i < items_n; i++) {
        weighted += (2 * (double)(i + 1) - n - 1) * exposures[i];
        sum += exposures[i];
    }
    return sum > 0 ? weighted / (n * sum) : NAN;
}
