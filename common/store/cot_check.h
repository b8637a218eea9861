/*
 * Structure check of an LMDB file before LMDB maps it: LMDB trusts its pages, so a truncated or
 * damaged file would crash the program that opens it.
 *
 * source   the page layout of LMDB 0.9 on 64-bit little-endian machines (lmdb.h: MDB_DATA_VERSION
 * 1)
 */
#ifndef LCF_COMMON_STORE_COT_CHECK_H
#define LCF_COMMON_STORE_COT_CHECK_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Walks every page that the newest state of the file refers to: each lies in the file, is of the
 * right kind, holds its nodes within itself, and is referred to once.
 *
 * errors   ENOENT; EFORMAT no LMDB file, truncated or damaged (page named); EVERSION another data
 *          version
 * cost     reads the whole file once
 * threads  safe; a process that writes the file meanwhile is noticed, and the walk begun again
 */
lcf_status lcf_cot_check(const char *path, lcf_err *err);

/*
 * The same, unless the file was walked before and has not changed since: a line beside it,
 * path.checked, says so. Opening a large store that nobody writes then takes no time. note_it:
 * write that line; where that cannot be done, the next one walks again.
 *
 * errors   those of lcf_cot_check; ENOMEM
 */
lcf_status lcf_cot_check_once(const char *path, bool note_it, lcf_err *err);

/* The same over bytes at hand, once; *txn receives the number of the newest state. */
lcf_status lcf_cot_check_bytes(uint64_t *txn, const uint8_t *bytes, size_t n, const char *name,
                               lcf_err *err);

/*
 * Calls fn with every key and value on the leaf pages of a file that may be damaged: what is read
 * lies within the bytes, all else is for the caller to doubt. Pages that the free list names are
 * left out; where that cannot be read a pair may come twice, or be one that was removed. A status
 * of fn's other than OK ends the walk and is returned.
 *
 * errors   EFORMAT the head of the file says nothing about its pages
 */
typedef lcf_status (*lcf_cot_salvaged)(void *arg, lcf_str key, lcf_str value);
lcf_status lcf_cot_salvage(const uint8_t *bytes, size_t n, const char *name, lcf_cot_salvaged fn,
                           void *arg, lcf_err *err);

#endif
