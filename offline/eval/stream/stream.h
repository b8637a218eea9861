/*
 * Comparison of files of scores that are larger than memory: both are read once, row by row, in the
 * same order.
 *
 *   sketch  scores are counted in 130,049 bins that are equal to 2^-10 of the score: memory is 70
 *           MB, AUC is known up to a bound that is computed from the counts and reported
 *   sort    scores are sorted outside memory: AUC, UAUC and GAUC are exact; temporary files of 48
 *           bytes per row
 *
 * Log loss, normalised entropy, Brier score, ECE, calibration and counts are exact in both. PR-AUC,
 * lists, slices, DeLong, McNemar and permutations need the rows and are NaN.
 *
 * Intervals are from a jackknife that leaves out one of 32 groups of users at a time (users are
 * dealt out by a hash of their name), with Student's t of one degree of freedom less
 * than groups that had rows.
 *
 * source   Shao and Tu 1995, section 5.1 (grouped jackknife); schemas/report.md section 7
 */
#ifndef LCF_OFFLINE_EVAL_STREAM_STREAM_H
#define LCF_OFFLINE_EVAL_STREAM_STREAM_H

#include "common/base/status.h"
#include "offline/eval/compare.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_stream_options {
    lcf_stream_method method; /* not LCF_STREAM_NONE */
    bool allow_nan;           /* rows with a NaN in either are dropped and counted */
    size_t pairs_max;         /* of a sort in memory, 16 bytes each; 0: 8 million */
} lcf_stream_options;

/*
 * errors   EFORMAT a row that cannot be read or whose partner has another key, user or label (both
 *          lines are named), a score that is NaN or no probability, several score columns, no row;
 *          EIO, ENOSPC temporary files; ENOMEM; ECANCELED
 * memory   dispose as any comparison
 */
lcf_status lcf_stream_compare(lcf_comparison *out, const char *path_a, const char *path_b,
                              const lcf_stream_options *options, lcf_err *err);

#endif
