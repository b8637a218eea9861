/*
 * What the files of the CoT store share: its handle, and what one does for the others. Internal to
 * common/store; the interface is cot_store.h.
 */
#ifndef LCF_COMMON_STORE_COT_STORE_PARTS_H
#define LCF_COMMON_STORE_COT_STORE_PARTS_H

#include "common/store/cot_index.h"
#include "common/store/cot_lmdb.h"
#include "common/store/cot_store.h"
#include "common/store/cot_value.h"
#include "common/store/cot_zstd.h"

#include <pthread.h>

enum { COT_SCAN_RECORDS = 512, COT_SCAN_BYTES = 16 << 20 };

struct lcf_cot_store {
    lcf_cot_db *db;
    lcf_cot_codec *codec;
    cot_reasons reasons;
    lcf_cot_store_options options;
    pthread_mutex_t mutex;
    uint64_t train_at;     /* number of records at which a dictionary is tried next */
    lcf_buf raw;           /* scratch */
    cot_entries unwritten; /* of the by-user and by-time tables: they follow the records */
};

lcf_str cot_key_str(const lcf_hash128 *key);
lcf_status cot_key_of(lcf_hash128 *out, const lcf_cot_store *s, lcf_str key, lcf_err *err);
/* The record of a stored value; with the mutex held. errors: those of lcf_cot_store_get */
lcf_status cot_decode(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_str value,
                      lcf_err *err);

/* ---- dictionaries: cot_dictionary.c; with the mutex held ---- */

/* All dictionaries of the store into the codec; the newest is used for writing. */
lcf_status cot_dictionaries_load(lcf_cot_store *s, lcf_err *err);
/*
 * When enough records are there and no dictionary yet: trains one on those stored and those that
 * come, and gives it to the codec. Leaves `out` empty otherwise.
 */
lcf_status cot_dictionary_maybe(lcf_buf *out, lcf_cot_store *s, const lcf_cot_record *records,
                                size_t n, lcf_err *err);
/* Trains on what `from` holds, in key order, stores the dictionary in `to` (they may be the same)
 * and writes with it from now on; *id is its number. EUNSUPPORTED: too little for one. */
lcf_status cot_dictionary_renew(uint32_t *id, lcf_cot_store *to, lcf_cot_store *from, lcf_err *err);
/* Removes all but that one. */
lcf_status cot_dictionaries_keep(lcf_cot_store *s, uint32_t id, lcf_err *err);

/* ---- by user and by time: cot_select.c ---- */

/* After a crash: all entries anew. */
lcf_status cot_index_complete(lcf_cot_store *s, lcf_err *err);

#endif
