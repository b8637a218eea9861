/*
 * A plain file of scores, row by row: CSV or TSV with a header, also compressed by zstd
 * (schemas/scores.md). Memory does not grow with the file.
 *
 * Life cycle: open -> next ... -> close. One thread at a time.
 */
#ifndef LCF_OFFLINE_EVAL_SCORE_ROWS_H
#define LCF_OFFLINE_EVAL_SCORE_ROWS_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_SCORE_SEEDS_MAX 32

typedef struct lcf_score_row {
    size_t line;                       /* of the file, from 1 */
    lcf_str key, user;                 /* valid until the next call */
    lcf_str item;                      /* empty without the column */
    uint8_t label;                     /* 0 or 1 */
    uint8_t gain;                      /* the label without the column */
    float scores[LCF_SCORE_SEEDS_MAX]; /* [seeds_n]; NaN where the file says nan or nothing */
} lcf_score_row;

typedef struct lcf_score_rows lcf_score_rows;

/* Is that the name of such a file? (.csv or .tsv, with .zst or without) */
bool lcf_score_rows_named(const char *path);

/*
 * errors   EFORMAT no header that can be read (what is missing or twice is named); those of
 *          lcf_byte_stream_open
 */
lcf_status lcf_score_rows_open(lcf_score_rows **out, const char *path, lcf_err *err);
void lcf_score_rows_close(lcf_score_rows *r); /* NULL is fine */
/* The seeds of the score columns, in their order. */
size_t lcf_score_rows_seeds(const lcf_score_rows *r, const uint64_t **seeds);
bool lcf_score_rows_have_items(const lcf_score_rows *r);
bool lcf_score_rows_have_gains(const lcf_score_rows *r);
/*
 * The next row; *more is false at the end.
 *
 * errors   EFORMAT a row that cannot be read, with file, line and column; EIO
 */
lcf_status lcf_score_rows_next(bool *more, lcf_score_row *row, lcf_score_rows *r, lcf_err *err);

#endif
