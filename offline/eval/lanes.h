/*
 * The two loops of lcf_weighted_measures over sixteen lanes of weights, compiled for AVX-512, AVX2
 * and the baseline and chosen by what the processor has. Private to offline/eval.
 */
#ifndef LCF_OFFLINE_EVAL_LANES_H
#define LCF_OFFLINE_EVAL_LANES_H

#include "offline/eval/weighted.h"

/* One row of lcf_weighted_run.sorted. */
enum {
    LCF_ROW_LABEL = 1,
    LCF_ROW_IN_TIE = 2,   /* of a group of equal scores with a positive and another row */
    LCF_ROW_TIE_LAST = 4, /* of such a group */
    LCF_ROW_SHIFT = 3     /* the user stands above */
};

typedef struct lcf_lane_ranks {
    double positives[LCF_LANES], negatives[LCF_LANES];
    double wins[LCF_LANES];      /* pairs that are ordered rightly, ties one half */
    double precision[LCF_LANES]; /* sum over positives of the precision at their score */
    double residual[LCF_LANES];  /* sum over calibration bins of |sum of score - label| */
} lcf_lane_ranks;

typedef struct lcf_lane_kernels {
    void (*ranks)(lcf_lane_ranks *out, const lcf_weighted_run *r, const uint8_t *weights);
    /* out [LCF_USER_SUMS_N, LCF_LANES] = sum over users of weights x sums */
    void (*sums)(double *out, const double *sums, const uint8_t *weights, size_t users_n);
} lcf_lane_kernels;

extern const lcf_lane_kernels lcf_lanes_baseline;
/* The best that this processor runs. */
const lcf_lane_kernels *lcf_lanes_get(void);

#endif
