/*
 * Upkeep of CoT stores: verify, repair, compact, merge, throw away what is old.
 *
 * What replaces a store's file (repair, compact) writes the new one beside it, under the store's
 * writer lock, and moves it into place at the end: killed before that, the store is as it was.
 * Readers that have the store open go on with the old file; nobody may open it at that very moment
 * (the nightly job does not).
 *
 * source   schemas/cot_record.md
 */
#ifndef LCF_COMMON_STORE_COT_MAINTAIN_H
#define LCF_COMMON_STORE_COT_MAINTAIN_H

#include "common/store/cot_store.h"

typedef struct lcf_cot_repair_counts {
    uint64_t sound_n, lost_n;
} lcf_cot_repair_counts;

/*
 * Makes a store of everything that can still be read: by its tree where that is sound, else by
 * looking at every page of the file but those that its free list names: without a sound free list
 * records may come back that had been removed or replaced. The damaged file is kept as
 * data.mdb.damaged.
 *
 * errors   EBUSY another writer; ENOENT; EFORMAT nothing can be read of it; ENOSPC, EIO
 */
lcf_status lcf_cot_store_repair(lcf_cot_repair_counts *out, const char *dir, lcf_cot_damage damage,
                                void *arg, lcf_err *err);

/*
 * Rewrites the store without gaps, with one dictionary trained on all of it, at a higher level:
 * lcf_cot_store_copy in place. Equal records give an equal file.
 *
 * errors   EBUSY another writer; those of reading; ENOSPC, EIO
 */
lcf_status lcf_cot_store_compact(const char *dir, lcf_err *err);

typedef struct lcf_cot_merge_counts {
    uint64_t added_n;
    uint64_t same_n;     /* there already, equal in every field */
    uint64_t conflict_n; /* there already with another content, which stays */
} lcf_cot_merge_counts;

/* Told about a key that both stores have with different contents. */
typedef void (*lcf_cot_conflict)(void *arg, lcf_hash128 key);

/*
 * Adds the records of `from` that `to` lacks; a second time it adds none. Counts are added to *out.
 *
 * errors   those of reading and writing; batches done before stay
 */
lcf_status lcf_cot_store_merge(lcf_cot_merge_counts *out, lcf_cot_store *to, lcf_cot_store *from,
                               lcf_cot_conflict conflict, void *arg, lcf_err *err);

/* The same record by record: begin -> add ... -> end. Records are written in batches. */
typedef struct lcf_cot_merger lcf_cot_merger;
lcf_status lcf_cot_merger_begin(lcf_cot_merger **out, lcf_cot_store *to, lcf_cot_conflict conflict,
                                void *arg, lcf_err *err);
lcf_status lcf_cot_merger_add(lcf_cot_merger *m, const lcf_cot_record *record, lcf_err *err);
/* Writes what is left unless `failed`, and frees m (NULL is fine); counts are added to *out. */
lcf_status lcf_cot_merger_end(lcf_cot_merge_counts *out, lcf_cot_merger *m, bool failed,
                              lcf_err *err);

/*
 * Removes records about decisions before `oldest` (seconds since 1970) and, unless model is NULL,
 * those that another model wrote.
 */
lcf_status lcf_cot_store_gc(uint64_t *removed_n, lcf_cot_store *s, int64_t oldest,
                            const char *model, lcf_err *err);

#endif
