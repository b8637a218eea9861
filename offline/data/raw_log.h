/*
 * Reads an interaction log with its item list into columns: MovieLens CSV or the project's TSV
 * layout.
 *
 * Invariant: every row of the columns has a user and an item index that exist, a time within
 * [0, LCF_RAW_TIME_MAX], and, where the log has ratings, a finite rating. Rows that cannot be read
 * are reported one by one and leave no trace in the columns.
 *
 * Life cycle: lcf_raw_read -> use -> lcf_raw_dispose. Owned by its caller.
 *
 * source   schemas/interactions.md, schemas/items.md
 */
#ifndef LCF_OFFLINE_DATA_RAW_LOG_H
#define LCF_OFFLINE_DATA_RAW_LOG_H

#include "common/base/status.h"
#include "common/data/dataset.h"
#include "offline/data/intern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_ID_BYTES_MAX 255
#define LCF_RAW_TIME_MAX INT64_C(253402300799) /* end of the year 9999 */

typedef enum lcf_raw_format {
    LCF_RAW_AUTO = 0, /* by the files that are there */
    LCF_RAW_MOVIELENS = 1,
    LCF_RAW_TSV = 2,
} lcf_raw_format;

/* A row that was left out: `file` is its path, `line` counts from 1. */
typedef void (*lcf_bad_row)(void *arg, const char *file, size_t line, const char *reason);

typedef struct lcf_raw_options {
    const char *dir;
    lcf_raw_format format; /* not AUTO: see lcf_raw_detect */
    lcf_bad_row bad_row;   /* may be NULL */
    void *bad_row_arg;
} lcf_raw_options;

typedef struct lcf_raw_log {
    /* Items, in the order of the list, then those that only the log knows; 0 is unknown. */
    lcf_intern item_id, title, text, brand, category;
    uint32_t *item_brand;       /* [items] */
    uint64_t *category_offsets; /* [items + 1] */
    uint32_t *item_categories;
    size_t item_categories_n;
    lcf_intern user_id; /* in order of first appearance */
    /* Interactions in file order. */
    size_t rows_n;
    uint32_t *row_user, *row_item; /* [rows_n] */
    int64_t *row_time;             /* [rows_n] seconds since 1970 */
    uint32_t *row_line;            /* [rows_n] of the file, from 1 */
    float *row_rating;             /* [rows_n], NULL without ratings */
    uint8_t *row_split;            /* [rows_n] lcf_split, NULL unless the log says */
    bool has_ratings, has_splits;
    size_t bad_rows_n, unknown_items_n;
    size_t item_brand_capacity, category_offsets_capacity, item_categories_capacity;
    size_t user_capacity, item_capacity, time_capacity, rating_capacity, split_capacity,
        line_capacity;
} lcf_raw_log;

/*
 * Which layout the folder has.
 *
 * errors   ENOENT neither; EINVAL both, so that the caller has to choose
 */
lcf_status lcf_raw_detect(lcf_raw_format *out, const char *dir, lcf_err *err);
/* Paths of the two files of a layout; free() releases them. errors: ENOMEM. */
lcf_status lcf_raw_paths(char **items, char **interactions, const char *dir, lcf_raw_format format);
/* The name of the column with the ids of items, or of users. */
const char *lcf_raw_id_column(lcf_raw_format format, bool items);
/*
 * errors   ENOENT a file is missing; EFORMAT a header lacks a column (named); ELIMIT more than
 * 2^32 - 2 rows; ENOMEM
 */
lcf_status lcf_raw_read(lcf_raw_log *out, const lcf_raw_options *options, lcf_err *err);
void lcf_raw_dispose(lcf_raw_log *log);

#endif
