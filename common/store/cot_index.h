/*
 * By-user and by-time tables of a CoT store: which records a user has, and which lie in a span of
 * time. They are a cache: entries are written in large sorted batches behind the records, a crash
 * may leave them short of some, and whoever finds as many entries as records trusts them. An entry
 * names a record by the first half of its key, and is checked against the record when it is used.
 *
 * Not thread-safe: its owner serialises.
 */
#ifndef LCF_COMMON_STORE_COT_INDEX_H
#define LCF_COMMON_STORE_COT_INDEX_H

#include "common/store/cot_lmdb.h"
#include "common/store/cot_store.h"

#define COT_INDEX_HALF 8 /* bytes of a key, and of the hash of a user's id */

typedef struct cot_entry {
    uint8_t user[COT_INDEX_HALF], time[8], key[COT_INDEX_HALF];
} cot_entry;

typedef struct cot_entries {
    cot_entry *list;
    size_t n, capacity;
} cot_entries;

void cot_entries_dispose(cot_entries *e);
lcf_status cot_entries_add(cot_entries *e, const lcf_cot_record *record, lcf_err *err);

/* Writes the entries and forgets them. errors: those of lcf_cot_db_put */
lcf_status cot_index_write(lcf_cot_db *db, cot_entries *entries, lcf_err *err);
/* Removes the entries of records that are about to go. */
lcf_status cot_index_remove(lcf_cot_db *db, cot_entries *entries, lcf_err *err);
/* Whether there are as many entries as records, in either table. */
lcf_status cot_index_is_whole(bool *whole, lcf_cot_db *db, lcf_err *err);
/* Adds the entries that may be of what is selected; only their keys are right. */
lcf_status cot_index_find(cot_entries *out, lcf_cot_db *db, const lcf_cot_select *select,
                          lcf_err *err);

#endif
