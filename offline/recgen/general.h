/*
 * General instructions: (instruction, input, output) rows from a file of somebody else's, mixed
 * into tuning so that the model keeps what it can do besides recommending.
 *
 * Read: a JSON list of objects, or one JSON object per line. An object has "instruction", "output"
 * and optionally "input" (Alpaca, LIMA), or "instruction" and "instances": a list of {input,
 * output} (self-instruct). Rows with an empty answer are left out and counted.
 *
 * Life cycle: load (several files may be loaded into one) -> read -> dispose.
 */
#ifndef LCF_OFFLINE_RECGEN_GENERAL_H
#define LCF_OFFLINE_RECGEN_GENERAL_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_GENERAL_FILE_BYTES_MAX ((size_t)1 << 30)

typedef struct lcf_general {
    lcf_buf text;   /* all strings, one after another */
    uint64_t *cuts; /* [3 n + 1]: row i is instruction, input, output between cuts 3i .. 3i + 3 */
    size_t n, cuts_capacity;
    size_t empty_n; /* rows left out */
} lcf_general;

#define LCF_GENERAL_INIT            \
    {                               \
        LCF_BUF_INIT, NULL, 0, 0, 0 \
    }

typedef struct lcf_general_row {
    lcf_str instruction, input, output;
} lcf_general_row;

/* errors: ENOENT, EIO, ELIMIT larger than the limit; EFORMAT (file, line or row, and key named) */
lcf_status lcf_general_load(lcf_general *g, const char *path, lcf_err *err);
/* The same from bytes at hand; `source` names them in messages. */
lcf_status lcf_general_parse(lcf_general *g, const char *text, size_t len, const char *source,
                             lcf_err *err);
/* The row's strings are valid until the next load. */
lcf_general_row lcf_general_get(const lcf_general *g, size_t idx);
void lcf_general_dispose(lcf_general *g);

#endif
