/* Recall: the share of what is relevant that is shown. */
#include "offline/eval/lists/list.h"

double lcf_list_recall(const lcf_list *l)
{
    size_t hits = 0;

    for (size_t i = 0; i < l->shown_n; i++)
        hits += l->gains[i] != 0;
    return (double)hits / (double)l->relevant_n;
}
