/*
 * Open addressing with at least one empty slot in two.
 */
#include "online/rank/item_index.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_status rank_item_index_init(rank_item_index *x, const lcf_strings *ids)
{
    size_t n = 16;

    while (n < 2 * ids->n)
        n *= 2;
    *x = (rank_item_index){ids, lcf_alloc_zero(n, sizeof(*x->slots)), n - 1};
    if (!x->slots)
        return LCF_ENOMEM;
    for (size_t item = 1; item < ids->n; item++) {
        const lcf_str id = lcf_strings_get(ids, item);
        const uint64_t hash = lcf_hash64(id.data, id.len, 0);
        size_t at = hash & x->mask;

        while (x->slots[at].item)
            at = (at + 1) & x->mask;
        x->slots[at] = (rank_item_slot){(uint32_t)(hash >> 32), (uint32_t)item};
    }
    return LCF_OK;
}

void rank_item_index_dispose(rank_item_index *x)
{
    free(x->slots);
    *x = (rank_item_index){NULL, NULL, 0};
}

uint32_t rank_item_index_find(const rank_item_index *x, const char *id)
{
    const size_t len = strlen(id);
    const uint64_t hash = lcf_hash64(id, len, 0);

    if (!len)
        return 0;
    for (size_t at = hash & x->mask; x->slots[at].item; at = (at + 1) & x->mask) {
        const rank_item_slot slot = x->slots[at];

        if (slot.tag == (uint32_t)(hash >> 32)) {
            const lcf_str other = lcf_strings_get(x->ids, slot.item);

            if (other.len == len && !memcmp(other.data, id, len))
                return slot.item;
        }
    }
    return 0;
}
