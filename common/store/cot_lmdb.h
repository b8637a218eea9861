/*
 * The tables of a CoT store in LMDB: byte strings by byte keys, written in durable batches. Behind
 * this header stands the only file that sees LMDB.
 *
 * Every call but lcf_cot_db_look begins and ends its own transaction, so that no reader pins old
 * pages and the map may grow between any two calls (but where nobody writes: there is nothing to
 * pin); what is returned is copied. Not thread-safe:
 * its owner serialises.
 */
#ifndef LCF_COMMON_STORE_COT_LMDB_H
#define LCF_COMMON_STORE_COT_LMDB_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_COT_FORMAT_VERSION 2u

typedef enum lcf_cot_table {
    LCF_COT_RECORDS = 0,      /* 16-byte key -> value; see below */
    LCF_COT_DICTIONARIES = 1, /* big-endian u32 id -> dictionary */
    LCF_COT_META = 2,         /* name -> bytes */
    LCF_COT_BY_USER = 3,      /* see cot_index.h */
    LCF_COT_BY_TIME = 4,
    LCF_COT_REASONS = 5, /* big-endian u32 id, from 1 -> text */
} lcf_cot_table;
#define LCF_COT_TABLES_N 6

/*
 * Records are asked for by key and kept in the order of arrival: a key is a hash, and a table in
 * its order would be rewritten a page for every record, and its pages be two thirds full. Behind
 * the table of records lies one of their places, with nothing but keys; who sees the records by
 * this header does not see it. On the pages of the file their keys are places.
 */
#define LCF_COT_PLACE_BYTES 6

typedef struct lcf_cot_db lcf_cot_db;

typedef enum lcf_cot_access {
    LCF_COT_READ,
    LCF_COT_READ_WALKED, /* the same, but that the file was walked before is not believed */
    LCF_COT_WRITE,
    LCF_COT_READ_IMMUTABLE, /* nobody writes this folder: takes no locks and makes no files */
} lcf_cot_access;

/* errors: as lcf_cot_store_open */
lcf_status lcf_cot_db_open(lcf_cot_db **out, const char *dir, lcf_cot_access access, lcf_err *err);
void lcf_cot_db_close(lcf_cot_db *db); /* NULL is fine */
const char *lcf_cot_db_path(const lcf_cot_db *db);
/* Of the format: 1 is only read. */
uint32_t lcf_cot_db_version(const lcf_cot_db *db);

/*
 * The value as it lies in the file (NULL: only asks whether it is there), until lcf_cot_db_leave,
 * which has to follow unless this failed; until then nothing is written through this handle.
 *
 * errors   ENOTFOUND without a message
 */
lcf_status lcf_cot_db_look(lcf_str *value, lcf_cot_db *db, lcf_cot_table table, const void *key,
                           size_t key_bytes, lcf_err *err);
void lcf_cot_db_leave(lcf_cot_db *db);
/* The same as a copy, appended. errors: ENOTFOUND without a message; ENOMEM */
lcf_status lcf_cot_db_get(lcf_buf *value, lcf_cot_db *db, lcf_cot_table table, const void *key,
                          size_t key_bytes, lcf_err *err);

typedef struct lcf_cot_pair {
    lcf_cot_table table;
    lcf_str key, value;
} lcf_cot_pair;

/* All pairs or none, on disk when it returns; a value whose data is NULL removes its key. errors:
 * ENOSPC, EIO, EINVAL opened for reading */
lcf_status lcf_cot_db_put(lcf_cot_db *db, const lcf_cot_pair *pairs, size_t n, lcf_err *err);

/* Pairs read by a scan: key i and value i lie in `bytes` at the offsets [2i, 2i+1, 2i+2). */
typedef struct lcf_cot_page {
    lcf_buf bytes;
    size_t *offsets;
    size_t capacity, n;
} lcf_cot_page;

/* How much a scan brings: so many pairs, about so many bytes together, so much of each value. */
typedef struct lcf_cot_limits {
    size_t n, bytes, value_bytes;
} lcf_cot_limits;
#define LCF_COT_LIMITS_NONE          \
    {                                \
        SIZE_MAX, SIZE_MAX, SIZE_MAX \
    }

/*
 * The next pairs in key order after `after` (NULL = from the first), within the limits. page->n = 0
 * at the end. The page is reset first; dispose it at the end.
 */
lcf_status lcf_cot_db_scan(lcf_cot_page *page, lcf_cot_db *db, lcf_cot_table table,
                           const lcf_str *after, const lcf_cot_limits *limits, lcf_err *err);
lcf_str lcf_cot_page_key(const lcf_cot_page *page, size_t i);
lcf_str lcf_cot_page_value(const lcf_cot_page *page, size_t i);
void lcf_cot_page_dispose(lcf_cot_page *page);

/* Empties a table. errors: as put */
lcf_status lcf_cot_db_clear(lcf_cot_db *db, lcf_cot_table table, lcf_err *err);
lcf_status lcf_cot_db_count(uint64_t *out, lcf_cot_db *db, lcf_cot_table table, lcf_err *err);

#endif
