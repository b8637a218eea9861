/* HR: is anything relevant shown? */
#include "offline/eval/lists/list.h"

double lcf_list_hit_rate(const lcf_list *l)
{
    for (size_t i = 0; i < l->shown_n; i++)
        if (l->gains[i])
            return 1;
    return 0;
}
