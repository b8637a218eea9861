/*
 * The items of a snapshot by id, in a hash table: a request names hundreds, and a search in their
 * sorted ids waits for the memory at every step. Private to online.
 *
 * Life cycle: init -> find ... -> dispose. Shared between threads once it is made.
 */
#ifndef LCF_ONLINE_RANK_ITEM_INDEX_H
#define LCF_ONLINE_RANK_ITEM_INDEX_H

#include "common/data/dataset.h"

typedef struct rank_item_slot {
    uint32_t tag;  /* the upper half of the id's hash */
    uint32_t item; /* 0: empty, for that is the unknown item */
} rank_item_slot;

typedef struct rank_item_index {
    const lcf_strings *ids;
    rank_item_slot *slots; /* [mask + 1] */
    size_t mask;
} rank_item_index;

/* `ids` stay where they are. errors: ENOMEM, *x is to be disposed of then, too */
lcf_status rank_item_index_init(rank_item_index *x, const lcf_strings *ids);
void rank_item_index_dispose(rank_item_index *x);
/* As lcf_strings_find: 0 where there is none, and for no text. */
uint32_t rank_item_index_find(const rank_item_index *x, const char *id);
/* The same of n ids. */
void rank_item_index_find_all(uint32_t *items, const rank_item_index *x, const char *const *ids,
                              size_t n);

#endif
