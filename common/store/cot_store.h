/*
 * CoT store: content-addressed chain-of-thought records in LMDB, each a protobuf message compressed
 * by zstd.
 *
 * Life cycle: open -> has/get/put ... -> close. One process may write at a time (EBUSY for the
 * second); any number may read. A batch is one transaction: after a crash all of it is there or
 * none. Read results are copies. A handle may be shared between threads; its calls take turns.
 * A process opens a store at most once at a time (EBUSY), and not across a fork.
 *
 * The first records are compressed without a dictionary; once enough have been seen, a dictionary
 * is trained, stored under its id, and used from then on. A record names its dictionary, so records
 * of several coexist. Every frame carries zstd's checksum.
 *
 * source   schemas/cot_record.md, schemas/cot_record.proto
 */
#ifndef LCF_COMMON_STORE_COT_STORE_H
#define LCF_COMMON_STORE_COT_STORE_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_COT_PARTS_N 4

typedef struct lcf_cot_record {
    lcf_hash128
        key; /* of (sample content, prompt version, model, sampling): see schemas/cot_record.md */
    lcf_hash128 sample_hash;
    const char *user_id, *item_id; /* external ids */
    uint32_t label;                /* the decision the text explains */
    int64_t time;                  /* of the decision, seconds since 1970 */
    const char *text;              /* the kept candidate, UTF-8 */
    float score;                   /* mean of the parts or by weights; 0 when rejected */
    float parts[LCF_COT_PARTS_N]; /* coherence, completeness, relevance, consistency, each in [0, 1]
                                   */
    const char *reject_reason;    /* "" when the score stands */
    const char *model_id;         /* hash of the model file */
    const char *prompt_version;
    const char *sampling; /* e.g. "temperature=0.6 top_k=50 seed=1" */
    uint32_t candidate, candidates_n;
    uint32_t prompt_tokens, tokens; /* of the kept candidate */
    uint64_t tokens_generated;      /* over all candidates */
} lcf_cot_record;

/* What is said of a record beside its frame: reading it expands nothing. */
typedef struct lcf_cot_head {
    lcf_hash128 key, sample_hash;
    lcf_hash128 content; /* of the packed record */
    int64_t time;
    float score;
    const char *reject_reason; /* until the next call that uses the store */
} lcf_cot_head;

typedef struct lcf_cot_store lcf_cot_store;

typedef struct lcf_cot_store_options {
    bool write;
    int level;               /* zstd level for writing */
    size_t dictionary_bytes; /* 0 switches the dictionary off */
    size_t dictionary_after; /* records seen before it is trained */
    bool without_index; /* write no by-user and by-time tables: for a copy that is read by key */
    bool immutable; /* reading a folder that nobody writes (a snapshot): no locks, makes no files */
    bool walk;      /* reading: the file is walked although it was before, for disks lose bits */
} lcf_cot_store_options;

#define LCF_COT_STORE_OPTIONS_INIT                    \
    {                                                 \
        false, 3, 64 << 10, 1000, false, false, false \
    }

/*
 * errors   ENOENT no store there (reading); EBUSY another writer; EFORMAT not a store, truncated;
 * EVERSION newer; older, and to be written
 */
lcf_status lcf_cot_store_open(lcf_cot_store **out, const char *dir,
                              const lcf_cot_store_options *options, lcf_err *err);
void lcf_cot_store_close(lcf_cot_store *s);
/* All n records or none; an existing key is replaced. errors: ENOSPC (nothing committed is lost),
 * EIO */
lcf_status lcf_cot_store_put(lcf_cot_store *s, const lcf_cot_record *records, size_t n,
                             lcf_err *err);
/* OK, or ENOTFOUND without a message. */
lcf_status lcf_cot_store_has(lcf_cot_store *s, lcf_hash128 key, lcf_err *err);
/* *out is one allocation with its strings inside: free() releases it. errors: ENOTFOUND, ECHECKSUM,
 * EFORMAT */
lcf_status lcf_cot_store_get(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_err *err);
/* Calls fn for every record in key order; a status other than OK from fn ends the walk and is
 * returned. */
typedef lcf_status (*lcf_cot_visit)(void *arg, const lcf_cot_record *record, lcf_err *err);
lcf_status lcf_cot_store_each(lcf_cot_store *s, lcf_cot_visit fn, void *arg, lcf_err *err);

/* The same for the heads of records. A store of version 1 has none: its records are expanded. */
typedef lcf_status (*lcf_cot_visit_head)(void *arg, const lcf_cot_head *head, lcf_err *err);
lcf_status lcf_cot_store_each_head(lcf_cot_store *s, lcf_cot_visit_head fn, void *arg,
                                   lcf_err *err);

/* Told about a record that cannot be read, in the order of keys. */
typedef void (*lcf_cot_damage)(void *arg, lcf_hash128 key, const char *why);
/*
 * The same, but a record that cannot be read is told to `damaged` (with damaged_arg) and left out:
 * its checksum fails, its dictionary is missing, it does not unpack, or it has another key inside.
 */
lcf_status lcf_cot_store_each_sound(lcf_cot_store *s, lcf_cot_visit fn, void *arg,
                                    lcf_cot_damage damaged, void *damaged_arg, lcf_err *err);
/* Records of one user, or of all, about decisions of a span of time, both ends in it. */
typedef struct lcf_cot_select {
    const char *user_id; /* NULL: of all */
    int64_t from, until; /* seconds since 1970 */
} lcf_cot_select;
#define LCF_COT_SELECT_ALL         \
    {                              \
        NULL, INT64_MIN, INT64_MAX \
    }
/*
 * The same for what is selected, in the order of time, then key; found by the by-user and by-time
 * tables where they are whole, else by looking at all.
 */
lcf_status lcf_cot_store_each_of(lcf_cot_store *s, const lcf_cot_select *select, lcf_cot_visit fn,
                                 void *arg, lcf_err *err);
/* Whether those tables are whole and name each record where it belongs. errors: those of reading */
lcf_status lcf_cot_store_check_index(bool *whole, lcf_cot_store *s, lcf_err *err);
/* All n keys, or none; one that is not there is fine. errors: as put */
lcf_status lcf_cot_store_remove(lcf_cot_store *s, const lcf_hash128 *keys, size_t n, lcf_err *err);

typedef struct lcf_cot_store_stats {
    uint64_t records_n, raw_bytes, stored_bytes, dictionaries_n;
} lcf_cot_store_stats;
lcf_status lcf_cot_store_stat(lcf_cot_store_stats *out, lcf_cot_store *s, lcf_err *err);
/* SHA-256 over the content of all records in key order: what the store holds, however it is stored.
 */
lcf_status lcf_cot_store_digest(char out[LCF_SHA256_HEX_BYTES], lcf_cot_store *s, lcf_err *err);
/* The same for a walk that does more: add every head in key order, then end. */
void lcf_cot_digest_add(lcf_buf *digest, const lcf_cot_head *head);
lcf_status lcf_cot_digest_end(char out[LCF_SHA256_HEX_BYTES], const lcf_buf *digest, lcf_err *err);
/*
 * Writes every record once more, in batches, with a dictionary trained on what is there now; the
 * older dictionaries go at the end. Readers go on meanwhile. Killed, it leaves records of either
 * dictionary, and both; with too few records for a dictionary it does nothing.
 *
 * errors   as put; those of reading
 */
lcf_status lcf_cot_store_recompress(lcf_cot_store *s, lcf_err *err);
/*
 * A compact copy of the store into a new folder, for a snapshot: data.mdb alone, recompressed with
 * a dictionary trained on all records. Its bytes depend on the records only, not on the order in
 * which they came.
 *
 * errors   EEXIST there is a store in dir; ENOSPC; those of reading
 */
lcf_status lcf_cot_store_copy(lcf_cot_store *s, const char *dir, lcf_err *err);

#endif
