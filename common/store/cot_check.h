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

/* The same over bytes at hand, once; *txn receives the number of the newest state. */
lcf_status lcf_cot_check_bytes(uint64_t *txn, const uint8_t *bytes, size_t n, const char *name,
                               lcf_err *err);

#endif
