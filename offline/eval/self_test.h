/*
 * A/A self-test: does the interval tell arms apart that do not differ? Each resample gives every
 * user's two runs to the arms at random, so that neither arm is better, and asks whether the 95 %
 * bootstrap interval of the lift leaves 0 out. About one in twenty should; more says that the
 * intervals promise too much for rows like these (few users, a measure that few users decide).
 *
 * source   Kohavi et al. 2009, section 5.2 (A/A tests); schemas/report.md section 3
 */
#ifndef LCF_OFFLINE_EVAL_SELF_TEST_H
#define LCF_OFFLINE_EVAL_SELF_TEST_H

#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "offline/eval/metrics.h"
#include "offline/eval/table.h"

#include <stddef.h>
#include <stdint.h>

/* Replicates of each resample's bootstrap: enough for the 2.5 % quantile to err by little. */
#define LCF_SELF_TEST_REPLICATES 400

typedef struct lcf_self_test {
    size_t resamples_n;               /* 0: not asked for, or the arms' seeds are not paired */
    size_t rejected_n[LCF_METRICS_N]; /* of which the interval leaves 0 out */
    size_t defined_n[LCF_METRICS_N];  /* of which there is an interval */
} lcf_self_test;

/*
 * options  progress: one step per resample
 * errors   ENOMEM; ECANCELED
 * cost     O(resamples * LCF_SELF_TEST_REPLICATES * seeds * rows / lanes)
 */
lcf_status lcf_self_test_run(lcf_self_test *out, const lcf_eval_table *t, lcf_pool *pool,
                             size_t resamples_n, uint64_t seed, size_t list_k,
                             lcf_progress *progress, lcf_err *err);

#endif
