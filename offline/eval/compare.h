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
#include "offline/eval/calibration_fit.h"
#include "offline/eval/gate.h"
#include "offline/eval/lists/interleave.h"
#include "offline/eval/metrics.h"
#include "offline/eval/paired_tests.h"
#include "offline/eval/pr_curve.h"
#include "offline/eval/roc.h"
#include "offline/eval/self_test.h"
#include "offline/eval/slices.h"
#include "offline/eval/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_CONFIDENCE 0.95
#define LCF_POWER 0.8 /* of what is called detectable */
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
    lcf_estimate lift;          /* B - A, percentile interval */
    double bca_low, bca_high;   /* BCa interval of the lift */
    double se;                  /* of the lift: standard deviation of the replicates */
    double lift_std;            /* over pairs of seeds; NaN when not paired, or with one */
    double p;                   /* two-sided, of no lift, from the replicates */
    double p_permutation;       /* of the arms being exchangeable; NaN without permutations */
    lcf_t_test seeds_t;         /* paired t over seeds; NaN when not paired, or with one */
    double detectable;          /* smallest lift found with LCF_POWER by as many users */
    double users_needed;        /* users who would settle the lift seen, with LCF_POWER */
    size_t undefined_n;         /* replicates without a lift, left out of the interval */
} lcf_measure;

/* AUC by DeLong's method, mean over seeds; intervals are normal, with users as the unit. */
typedef struct lcf_delong_comparison {
    lcf_estimate arm[LCF_ARMS];
    lcf_estimate lift;
    double se_users, se_rows; /* of the lift; se_rows takes rows as independent */
    double p_users, p_rows;
} lcf_delong_comparison;

typedef struct lcf_slice_result {
    char dimension[LCF_SLICE_NAME_MAX], name[LCF_SLICE_NAME_MAX];
    size_t rows_n, users_n, positives_n;
    double auc[LCF_ARMS]; /* NaN when a class is missing */
    lcf_estimate lift;    /* of AUC; low and high NaN for small slices */
    double p;             /* NaN for small slices, as the two below */
    double p_holm;        /* chance of any false alarm among the slices */
    double p_bh;          /* Benjamini and Hochberg: share of false alarms among those found */
} lcf_slice_result;

/* How a comparison of more rows than fit in memory was made (offline/eval/stream/stream.h). */
typedef enum lcf_stream_method {
    LCF_STREAM_NONE,
    LCF_STREAM_SKETCH,
    LCF_STREAM_SORT
} lcf_stream_method;

typedef struct lcf_comparison {
    lcf_stream_method stream;
    double auc_bound[LCF_ARMS]; /* of a sketch: AUC is within this of the value */
    size_t rows_n, users_n, positives_n;
    size_t users_both_n; /* users with both classes */
    bool orders_only;    /* scores are no probabilities: measures of those are NaN */
    lcf_table_dropped dropped;
    size_t seeds_n[LCF_ARMS];
    uint64_t *seeds[LCF_ARMS];
    bool seeds_paired, seeds_fixed;
    size_t replicates_n;
    size_t left_out_n; /* groups of users that the jackknife of BCa left out */
    size_t permutations_n;
    size_t list_k; /* where lists end; 0: there are none */
    uint64_t seed;
    lcf_measure measures[LCF_METRICS_N];
    lcf_estimate rela_impr;
    lcf_delong_comparison delong;
    lcf_mcnemar mcnemar; /* at LCF_DECISION_THRESHOLD, pairs of seeds pooled; p_rows with one */
    lcf_calibration calibration[LCF_ARMS];         /* over all seeds */
    lcf_calibration_fit calibration_fit[LCF_ARMS]; /* mean over the seeds that have a fit */
    double roc[LCF_ARMS][LCF_ROC_POINTS];          /* true positive rate, mean over seeds */
    double pr[LCF_ARMS][LCF_PR_POINTS];            /* precision, mean over seeds */
    lcf_interleaving interleaving; /* NaN without lists, or with different numbers of seeds */
    lcf_self_test self_test;
    lcf_slice_result *slices; /* neither empty nor all rows; by rising lift, those without
                                 an interval last */
    size_t slices_n;
} lcf_comparison;

#define LCF_DECISION_THRESHOLD 0.5f

typedef struct lcf_compare_options {
    size_t replicates_n;   /* of the bootstrap */
    size_t permutations_n; /* 0: no permutation test */
    size_t list_k;         /* where lists end; 0: no lists */
    size_t self_test_n;    /* resamples of the A/A self-test; 0: none */
    uint64_t seed;
    bool seeds_fixed;
    lcf_progress *progress; /* one step per replicate, permutation and resample: lcf_compare_steps;
                               NULL is fine */
} lcf_compare_options;

#define LCF_COMPARE_OPTIONS_INIT                                              \
    {                                                                         \
        .replicates_n = 2000, .permutations_n = 1000, .list_k = 10, .seed = 1 \
    }

/*
 * shapes   slices of the rows of t, or NULL
 * errors   ELIMIT, ENOMEM, ECANCELED of the bootstrap
 * memory   dispose releases; nothing of the arguments is kept
 */
lcf_status lcf_compare(lcf_comparison *out, const lcf_eval_table *t, const lcf_slices *slices,
                       lcf_pool *pool, const lcf_compare_options *options, lcf_err *err);
void lcf_comparison_dispose(lcf_comparison *c);
/* Steps of progress that a comparison takes. */
uint64_t lcf_compare_steps(const lcf_compare_options *options, size_t slices_n);

/* ---- what it comes to (verdict.c) ---- */

/* All figures a gate may name; with c NULL the names alone (values NaN). */
void lcf_comparison_figures(lcf_figures *out, const lcf_comparison *c);

/* What the AUC lift's interval says about B. */
typedef enum lcf_direction {
    LCF_DIRECTION_BETTER,
    LCF_DIRECTION_WORSE,
    LCF_DIRECTION_OPEN
} lcf_direction;
lcf_direction lcf_comparison_direction(const lcf_comparison *c);

/*
 * What to do.
 *
 *   ship           every condition holds; without conditions: the AUC lift's interval is above 0
 *   no difference  a condition does not hold, and the interval of the lift (of interleaving: the
 *                  preference) of every measure that such a condition names contains 0: these rows
 *                  cannot tell
 *   hold           otherwise
 */
typedef enum lcf_verdict {
    LCF_VERDICT_SHIP,
    LCF_VERDICT_HOLD,
    LCF_VERDICT_NO_DIFFERENCE
} lcf_verdict;
/* conditions [n]: checked. */
lcf_verdict lcf_comparison_verdict(const lcf_comparison *c, const lcf_gate_condition *conditions,
                                   size_t n);
/* "ship", "hold" or "no difference". */
const char *lcf_verdict_text(lcf_verdict verdict);

#endif
