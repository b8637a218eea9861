/* Average precision of one list; its mean over users is MAP. */
#include "offline/eval/lists/list.h"

double lcf_list_map(const lcf_list *l)
{
    double sum = 0, hits = 0;

    for (size_t i = 0; i < l->shown_n; i++)
        if (l->gains[i]) {
            hits++;
            sum += hits / (double)(i + 1);
        }
    return sum / (double)l->relevant_n;
}
