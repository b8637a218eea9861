/* Coverage: the share of the catalogue that any list shows. */
#include "offline/eval/lists/list.h"

#include <math.h>

double lcf_list_coverage(const uint32_t *exposures, size_t items_n)
{
    size_t shown = 0;

    for (size_t i = 0; i < items_n; i++)
        shown += exposures[i] > 0;
    return items_n ? (double)shown / (double)items_n : NAN;
}
