/*
 * Rows of separated text, parsed in place: CSV with quoting (RFC 4180: quoted separators, newlines
 * and doubled quotes) or plain tab-separated lines.
 *
 * Life cycle: init over bytes that outlive it -> next ... -> dispose. The fields of a row are views
 * into those bytes (or, where quotes had to be removed, into the reader) and are valid until the
 * next call. Memory is bounded whatever the input: a row has at most LCF_ROW_BYTES_MAX bytes and
 * LCF_ROW_FIELDS_MAX fields. A row that cannot be read costs that row alone: reading goes on at the
 * next line.
 *
 * source   schemas/interactions.md, schemas/items.md
 */
#ifndef LCF_OFFLINE_DATA_ROWS_H
#define LCF_OFFLINE_DATA_ROWS_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define LCF_ROW_FIELDS_MAX 256
#define LCF_ROW_BYTES_MAX ((size_t)1 << 20)

typedef enum lcf_row_result {
    LCF_ROW_OK,
    LCF_ROW_BAD, /* `reason` says why, in words that fit after "file:line: " */
    LCF_ROW_END,
} lcf_row_result;

typedef struct lcf_rows {
    const char *data;
    size_t bytes_n, at;
    size_t line;      /* of the first line of the row last returned, from 1 */
    size_t next_line; /* of the byte at `at` */
    char separator;
    bool quoted;
    bool bare_quotes; /* set after init: a quote inside an unquoted field is a character */
    lcf_str fields[LCF_ROW_FIELDS_MAX];
    size_t fields_n;
    const char *reason;  /* static */
    char *unquoted;      /* [LCF_ROW_BYTES_MAX], for fields whose quotes are removed */
    size_t unquoted_len; /* of the current row */
} lcf_rows;

/* A byte order mark is skipped. errors: ENOMEM (only with `quoted`). */
lcf_status lcf_rows_init(lcf_rows *rows, const char *data, size_t bytes_n, char separator,
                         bool quoted, lcf_err *err);
void lcf_rows_dispose(lcf_rows *rows);
/* The next row; empty lines are skipped, a CR before the newline is dropped. */
lcf_row_result lcf_rows_next(lcf_rows *rows);

#endif
