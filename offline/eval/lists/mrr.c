/* Reciprocal rank of the first relevant row. */
#include "offline/eval/lists/list.h"

double lcf_list_mrr(const lcf_list *l)
{
    for (size_t i = 0; i < l->shown_n; i++)
        if (l->gains[i])
            return 1 / (double)(i + 1);
    return 0;
}
