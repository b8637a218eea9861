/* Precision: the share of the K places that hold something relevant. */
#include "offline/eval/lists/list.h"

double lcf_list_precision(const lcf_list *l)
{
    size_t hits = 0;

    for (size_t i = 0; i < l->shown_n; i++)
        hits += l->gains[i] != 0;
    return (double)hits / (double)l->k;
}
