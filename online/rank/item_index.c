/*
 * Open addressing with at least one empty slot in two.
 */
#include "online/rank/item_index.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 32 /* ids that are looked for together */

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

static uint32_t find(const rank_item_index *x, const char *id, size_t len, uint64_t hash)
{
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

uint32_t rank_item_index_find(const rank_item_index *x, const char *id)
{
    const size_t len = strlen(id);

    return find(x, id, len, lcf_hash64(id, len, 0));
}

/* Slots, then where the strings of the items in them begin, then these: each step asks the memory
 * for what the next one reads, and none waits for it id by id. */
static void find_block(uint32_t *items, const rank_item_index *x, const char *const *ids, size_t n)
{
    uint64_t hash[BLOCK];
    size_t len[BLOCK];

    for (size_t i = 0; i < n; i++) {
        len[i] = strlen(ids[i]);
        hash[i] = lcf_hash64(ids[i], len[i], 0);
        lcf_fetch(&x->slots[hash[i] & x->mask], sizeof(*x->slots));
    }
    for (size_t i = 0; i < n; i++)
        lcf_fetch(x->ids->offsets + x->slots[hash[i] & x->mask].item, 2 * sizeof(uint64_t));
    for (size_t i = 0; i < n; i++)
        lcf_fetch(x->ids->chars + x->ids->offsets[x->slots[hash[i] & x->mask].item], len[i]);
    for (size_t i = 0; i < n; i++)
        items[i] = find(x, ids[i], len[i], hash[i]);
}

void rank_item_index_find_all(uint32_t *items, const rank_item_index *x, const char *const *ids,
                              size_t n)
{
    for (size_t at = 0; at < n; at += BLOCK)
        find_block(items + at, x, ids + at, n - at < BLOCK ? n - at : BLOCK);
}
