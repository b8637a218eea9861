/*
 * Items that a request describes: what the snapshot makes of candidates that it does not know.
 * Private to online/rank.
 */
#ifndef LCF_ONLINE_RANK_DESCRIBED_H
#define LCF_ONLINE_RANK_DESCRIBED_H

#include "online/rank/rank_internal.h"

/*
 * Gives the candidates that are not in the catalogue and are described an index behind it, in
 * c->item, and fills j->described: each item once, in the order of its first candidate. Called when
 * c->item and c->degraded are filled; takes back the reason of those that miss nothing.
 *
 * Texts are read where the arm reads them, and until `until_s` of lcf_clock_s (0: without an end);
 * candidates whose text is not read are degraded by "deadline".
 *
 * errors   ENOMEM
 * memory   of the arena
 */
lcf_status lcf_rank_describe(rank_job *j, double until_s, lcf_err *err);

/* Whether that candidate is described. */
static inline bool lcf_rank_is_described(const rank_job *j, size_t candidate)
{
    return j->c->item[candidate] >= j->data->catalogue.items_n;
}

#endif
