/*
 * The rows of a comparison: labels, users and the scores of both arms for every seed, for a whole
 * split or a slice of it.
 *
 * Invariant: both arms speak about the same rows in the same order; users are numbered 0 ..
 * users_n - 1 without gaps, in ascending order of their number in the dataset; no score is NaN.
 */
#ifndef LCF_OFFLINE_EVAL_TABLE_H
#define LCF_OFFLINE_EVAL_TABLE_H

#include "common/base/status.h"
#include "common/data/predictions.h"
#include "offline/eval/lists/rank.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_ARMS 2

/* What may be wrong with the rows without stopping the comparison; what is dropped is counted. */
typedef struct lcf_table_allow {
    bool unmatched;  /* rows that one arm alone has are dropped */
    bool duplicates; /* of rows with the same key in one arm the first is kept */
    bool nan;        /* rows with a score that is NaN in either arm are dropped */
    bool one_class;  /* rows of one class: what needs both is not defined */
    bool any_score;  /* scores of any size: what needs probabilities is not defined */
} lcf_table_allow;

typedef struct lcf_table_dropped {
    size_t unmatched_n[2];      /* rows of A alone, of B alone */
    size_t duplicates_n, nan_n; /* rows of either */
} lcf_table_dropped;

typedef struct lcf_eval_table {
    size_t rows_n, users_n, positives_n;
    uint64_t *row;             /* [rows_n] sample index in the dataset */
    uint8_t *label;            /* [rows_n] 0 or 1 */
    uint32_t *user;            /* [rows_n] < users_n */
    size_t seeds_n[LCF_ARMS];  /* runs of each arm */
    float *scores[LCF_ARMS];   /* [seeds_n, rows_n] */
    uint64_t *seeds[LCF_ARMS]; /* [seeds_n] */
    bool seeds_paired;         /* both arms have the same list of seeds */
    bool orders_only;          /* scores are no probabilities */
    uint8_t *gain;             /* [rows_n] grades for lists, or NULL: the labels */
    lcf_table_dropped dropped;
    lcf_list_items items; /* what is known of the items; of_row belongs to the table */
} lcf_eval_table;

/*
 * Checks that two prediction files are comparable and copies them together.
 *
 * allow    what is no error, NULL: all is one. Predictions have neither NaN nor a row twice, so
 *          those do not matter
 * errors   EFORMAT rows or labels differ, a score is NaN or outside [0, 1], no row, no seed, or one
 *          class only: the message names the arm, the row and the seed; ENOMEM
 * memory   dispose releases; nothing of the predictions is kept
 */
lcf_status lcf_eval_table_align(lcf_eval_table *out, const lcf_predictions *a,
                                const lcf_predictions *b, const lcf_table_allow *allow,
                                lcf_err *err);
void lcf_eval_table_dispose(lcf_eval_table *t);

/*
 * The rows with slice[i] == which, users renumbered; without their items and grades.
 *
 * shapes   slice [t->rows_n]
 * errors   ENOMEM; an empty slice is fine
 */
lcf_status lcf_eval_table_select(lcf_eval_table *out, const lcf_eval_table *t, const uint8_t *slice,
                                 uint8_t which, lcf_err *err);

static inline const float *lcf_eval_table_run(const lcf_eval_table *t, size_t arm, size_t seed_idx)
{
    return t->scores[arm] + seed_idx * t->rows_n;
}

#endif
