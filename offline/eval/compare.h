/*
 * Comparison of two arms: every figure of the report, computed from a table of rows.
 *
 * Life cycle: lcf_compare fills a value, the report writers read it, dispose releases it. The
 * result depends on the table, the slices and the options, never on the number of
 * threads.
 */
#ifndef LCF_OFFLINE_EVAL_COMPARE_H
#define LCF_OFFLINE_EVAL_COMPARE_H

#include "common/base/pool.h"
#include "common/base/status.h"
#include "offline/eval/bootstrap.h"
#include "offline/eval/calibration.h"
#include "offline/eval/gate.h"
#include "offline/eval/metrics.h"
#include "offline/eval/roc.h"
#include "offline/eval/slices.h"
#include "offline/eval/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_CONFIDENCE 0.95
/* A slice with fewer users, or without both classes, gets no interval. */
#define LCF_SLICE_USERS_MIN 20

/* A figure with its interval; NaN where not defined. */
typedef struct lcf_estimate {
    double value, low, high;
} lcf_estimate;

typedef struct lcf_measure {
    double *per_seed[LCF_ARMS]; /* [seeds_n] */
    double std[LCF_ARMS];       /* over seeds; NaN with one */
    lcf_estimate arm[LCF_ARMS]; /* mean over seeds */
    lcf_estimate lift;          /* B - A */
    double lift_std;            /* over pairs of seeds; NaN when not paired, or with one */
    double p;                   /* two-sided, of no lift */
    size_t undefined_n;         /* replicates without a lift, left out of the interval */
} lcf_measure;

typedef struct lcf_slice_result {
    char dimension[LCF_SLICE_NAME_MAX], name[LCF_SLICE_NAME_MAX];
    size_t rows_n, users_n, positives_n;
    double auc[LCF_ARMS]; /* NaN when a class is missing */
    lcf_estimate lift;    /* of AUC; low and high NaN for small slices */
    double p, p_holm;     /* NaN for small slices */
} lcf_slice_result;

typedef struct lcf_comparison {
    size_t rows_n, users_n, positives_n;
    size_t users_both_n; /* users with both classes */
    size_t seeds_n[LCF_ARMS];
    uint64_t *seeds[LCF_ARMS];
    bool seeds_paired, seeds_fixed;
    size_t replicates_n;
    uint64_t seed;
    lcf_measure measures[LCF_METRICS_N];
    lcf_estimate rela_impr;
    lcf_calibration calibration[LCF_ARMS]; /* over all seeds */
    double roc[LCF_ARMS][LCF_ROC_POINTS];  /* true positive rate, mean over seeds */
    lcf_slice_result *slices; /* neither empty nor all rows; by rising lift, those without
                                 an interval last */
    size_t slices_n;
} lcf_comparison;

/*
 * options  progress is taken as one bar over all bootstraps
 * shapes   slices of the rows of t, or NULL
 * errors   ELIMIT, ENOMEM, ECANCELED of the bootstrap
 * memory   dispose releases; nothing of the arguments is kept
 */
lcf_status lcf_compare(lcf_comparison *out, const lcf_eval_table *t, const lcf_slices *slices,
                       lcf_pool *pool, const lcf_bootstrap_options *options, lcf_err *err);
void lcf_comparison_dispose(lcf_comparison *c);

/* All figures a gate may name; with c NULL the names alone (values NaN). */
void lcf_comparison_figures(lcf_figures *out, const lcf_comparison *c);

/* What the AUC lift's interval says about B. */
typedef enum lcf_verdict { LCF_VERDICT_BETTER, LCF_VERDICT_WORSE, LCF_VERDICT_OPEN } lcf_verdict;
lcf_verdict lcf_comparison_verdict(const lcf_comparison *c);

#endif
