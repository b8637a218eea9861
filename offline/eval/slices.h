/*
 * Slices: which part of the rows a row belongs to, along dimensions that say for whom a change
 * works. Along one dimension a row is in at most one slice.
 *
 *   user         warm: has training samples; cold: none
 *   item         the same of items
 *   history      length of the history behind the row: 0, 1-4, 5-9, 10-19, 20
 *   popularity   decile of the row's item by number of training samples, 1 the least popular; items
 *                with equal counts share the lower decile
 *   brand        the ten brands with the most rows, and all others
 *   category     the ten categories with the most rows; a dimension each, as items have several
 *   examples     with or without retrieved examples
 *   similarity   decile of the row by the score of its best example, 1 the least similar
 *   a column     of a CSV or TSV file, keyed by user, item or row: its ten most frequent values and
 *                all others, or, where all values are numbers and there are more of them, deciles
 *
 * Life cycle: init -> read -> dispose. A dimension may hold slices without rows.
 */
#ifndef LCF_OFFLINE_EVAL_SLICES_H
#define LCF_OFFLINE_EVAL_SLICES_H

#include "common/data/dataset.h"
#include "offline/eval/table.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_SLICE_NAME_MAX 64
#define LCF_SLICE_NONE 255 /* the row is in no slice of the dimension */
#define LCF_SLICES_TOP 10  /* values that get a slice of their own */

typedef struct lcf_slice_dimension {
    char name[LCF_SLICE_NAME_MAX];     /* e.g. "history", or that of the column */
    size_t count;                      /* slices, < LCF_SLICE_NONE */
    char (*names)[LCF_SLICE_NAME_MAX]; /* [count] e.g. "cold user", "popularity decile 3" */
    uint8_t *of;                       /* [rows_n] slice of each row, or LCF_SLICE_NONE */
} lcf_slice_dimension;

typedef struct lcf_slices {
    size_t rows_n;
    size_t n; /* dimensions */
    lcf_slice_dimension *dimensions;
    size_t slices_n; /* of all dimensions together */
    size_t capacity;
} lcf_slices;

typedef struct lcf_slices_options {
    const char *retrieved_dir;  /* of `llmcf retrieve`, or NULL: no slices by examples */
    const char *const *columns; /* [columns_n] "FILE:COLUMN" */
    size_t columns_n;
} lcf_slices_options;

/*
 * errors   EFORMAT the dataset is not the one the rows are from (a row out of range, or with
 *          another label: named), damaged retrieved examples, or a file of columns that cannot be
 *          read as one (file and line named); EINVAL retrieved examples of another dataset; EUSAGE
 *          a column that the file does not have (the message lists those it has); ENOENT, ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_slices_init(lcf_slices *out, const lcf_eval_table *t, const lcf_dataset *d,
                           const lcf_slices_options *options, lcf_err *err);
void lcf_slices_dispose(lcf_slices *s);

/* ---- for the files that make dimensions ---- */

/* A new dimension with every row in no slice, and slices without a name. It is valid until the next
 * is added. errors: ENOMEM */
lcf_status lcf_slices_add(lcf_slice_dimension **out, lcf_slices *s, const char *name, size_t count,
                          lcf_err *err);
/* Cut at the end of a character where it is too long. */
void lcf_slice_set_name(lcf_slice_dimension *d, size_t which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * Deciles of the rows by a value, "NAME decile 3 (0.4 to 0.5)": equal values share the lower one.
 *
 * shapes   values [rows_n], NaN: in no slice
 */
lcf_status lcf_slices_add_deciles(lcf_slices *s, const char *name, const double *values,
                                  lcf_err *err);
/*
 * The LCF_SLICES_TOP values with the most rows, "NAME: value", and "NAME: other".
 *
 * shapes   value [rows_n] index into texts, 0: in no slice
 */
lcf_status lcf_slices_add_values(lcf_slices *s, const char *name, const uint32_t *value,
                                 const lcf_strings *texts, lcf_err *err);
/* The most frequent indices below n but 0, most rows first, at most LCF_SLICES_TOP. *found: how
 * many. errors: ENOMEM */
lcf_status lcf_slices_top(uint32_t top[LCF_SLICES_TOP], size_t *found, const size_t *rows, size_t n,
                          lcf_err *err);

/*
 * Slices by brand and category of a row's item; by what was retrieved for it; by a column of a
 * table of items or users.
 *
 * errors   those of reading; EFORMAT what does not belong to the dataset; ENOMEM
 */
lcf_status lcf_slices_by_item(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                              lcf_err *err);
lcf_status lcf_slices_by_examples(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                  const char *retrieved_dir, lcf_err *err);
lcf_status lcf_slices_by_column(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                const char *column, lcf_err *err);
/* The same of text at hand; source names it in messages. */
lcf_status lcf_slices_by_column_text(lcf_slices *s, const lcf_eval_table *t, const lcf_dataset *d,
                                     const lcf_str *text, bool tabs, const char *source,
                                     const char *column, lcf_err *err);

#endif
