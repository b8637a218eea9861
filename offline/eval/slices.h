/*
 * Slices: which part of the rows a row belongs to, along each of a few dimensions that say for whom
 * a change works. Along one dimension every row is in exactly one slice.
 *
 *   user      warm: has training samples; cold: none
 *   item      the same of items
 *   history   length of the history behind the row: 0, 1-4, 5-9, 10-19, 20
 *   popularity  decile of the row's item by number of training samples, 1 the least popular; items
 *             with equal counts share the lower decile
 */
#ifndef LCF_OFFLINE_EVAL_SLICES_H
#define LCF_OFFLINE_EVAL_SLICES_H

#include "common/data/dataset.h"
#include "offline/eval/table.h"

#include <stddef.h>
#include <stdint.h>

typedef enum lcf_slice_dimension {
    LCF_SLICE_USER,
    LCF_SLICE_ITEM,
    LCF_SLICE_HISTORY,
    LCF_SLICE_POPULARITY,
    LCF_SLICE_DIMENSIONS_N
} lcf_slice_dimension;

#define LCF_SLICE_NAME_MAX 32

const char *lcf_slice_dimension_name(lcf_slice_dimension dimension);
size_t lcf_slice_count(lcf_slice_dimension dimension);
/* Slices of all dimensions together. */
size_t lcf_slices_max(void);
/* e.g. "cold user", "history 5-9", "popularity decile 3" */
void lcf_slice_name(char out[LCF_SLICE_NAME_MAX], lcf_slice_dimension dimension, size_t which);

typedef struct lcf_slices {
    uint8_t *of[LCF_SLICE_DIMENSIONS_N]; /* [rows_n] slice of each row */
} lcf_slices;

/*
 * errors   EFORMAT the dataset is not the one the rows are from (a row out of range, or with
 *          another label: named); ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_slices_init(lcf_slices *out, const lcf_eval_table *t, const lcf_dataset *d,
                           lcf_err *err);
void lcf_slices_dispose(lcf_slices *s);

#endif
