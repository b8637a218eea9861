/*
 * From rows to lists: each user's candidates in order of score, cut at K, and the measures of every
 * list.
 *
 * Life cycle: lcf_candidates_init groups the rows by user once; lcf_lists_measure then serves any
 * number of runs.
 */
#ifndef LCF_OFFLINE_EVAL_LISTS_RANK_H
#define LCF_OFFLINE_EVAL_LISTS_RANK_H

#include "common/base/status.h"
#include "offline/eval/metrics.h"

#include <stddef.h>
#include <stdint.h>

/* What is known about the items of the rows; all may be NULL or 0, and the measures that need it
 * are then NaN. */
typedef struct lcf_list_items {
    const uint32_t *of_row; /* [rows_n] each < items_n */
    size_t items_n;         /* the catalogue, which coverage and Gini are about */
    size_t unknown_n;       /* the first items are none: 1 for a dataset, whose item 0 is unknown */
    const uint32_t *counts; /* [items_n] training samples of each item */
    uint64_t samples_n;     /* their sum */
    const float *vectors;   /* [items_n, dim] of the items' texts */
    size_t dim;
} lcf_list_items;

typedef struct lcf_candidates {
    size_t rows_n, users_n, k;
    size_t *begin;      /* [users_n + 1] into rows */
    uint32_t *rows;     /* [rows_n] by user, ascending */
    uint8_t *gains;     /* [rows_n] by row; 0 or 1 from labels, or grades */
    uint8_t *ideal;     /* [rows_n] by user, descending */
    uint32_t *relevant; /* [users_n] rows with a gain */
} lcf_candidates;

/*
 * shapes   gains [n], each at most LCF_GAIN_MAX; users [n], each < users_n
 * errors   EINVAL a gain above LCF_GAIN_MAX (the row is named); ENOMEM
 * memory   dispose releases; nothing of the arguments is kept
 */
lcf_status lcf_candidates_init(lcf_candidates *out, const uint8_t *gains, const uint32_t *users,
                               size_t n, size_t users_n, size_t k, lcf_err *err);
void lcf_candidates_dispose(lcf_candidates *c);

/* Measures of one run. */
typedef struct lcf_list_values {
    double *user;                   /* [LCF_LIST_USER_METRICS_N, users_n]; NaN: none */
    double all[LCF_LIST_METRICS_N]; /* means over the users that have a value; coverage and Gini of
                                       all lists together */
} lcf_list_values;

/*
 * shapes   scores [rows_n], no NaN
 * errors   ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_lists_measure(lcf_list_values *out, const lcf_candidates *c, const float *scores,
                             const lcf_list_items *items, lcf_err *err);
void lcf_list_values_dispose(lcf_list_values *v);

/*
 * Row numbers of a user's best k candidates, best first; returns how many.
 *
 * shapes   out [k]; scores [rows_n]
 */
size_t lcf_candidates_top(uint32_t *out, const lcf_candidates *c, size_t user, const float *scores,
                          size_t k);

#endif
