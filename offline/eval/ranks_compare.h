/*
 * Comparison of two next-item runs from the ranks of the same targets: every measure of both, the
 * difference B - A, and its interval by a paired bootstrap clustered by user.
 *
 * A replicate draws as many users as there are, with replacement, all rows of a user together and
 * in both runs (paired), and unless told otherwise as many seeds as there are, the same for both
 * runs where their lists agree; a measure is the mean over the drawn seeds.
 *
 * source   Field and Welsh 2007 (cluster bootstrap); Owen and Eckles 2012 (two factors);
 *          schemas/ranks_comparison.md
 */
#ifndef LCF_OFFLINE_EVAL_RANKS_COMPARE_H
#define LCF_OFFLINE_EVAL_RANKS_COMPARE_H

#include "common/base/status.h"
#include "common/data/ranks.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_ranks_compare_options {
    size_t replicates_n;
    uint64_t seed;
    bool seeds_fixed; /* average over the seeds as they are: the interval covers users only */
    size_t threads;   /* 0: as many as there are processors; the result does not depend on it */
} lcf_ranks_compare_options;

#define LCF_RANKS_COMPARE_OPTIONS_INIT \
    {                                  \
        2000, 1, false, 0              \
    }

/*
 * errors   EINVAL ranks of other rows, or among other candidates; ENOMEM; ECANCELED
 * memory   *out is the caller's (json_decref)
 * cost     O(replicates * users * seeds)
 */
lcf_status lcf_ranks_compare(json_t **out, const lcf_ranks *a, const lcf_ranks *b,
                             const lcf_ranks_compare_options *options, lcf_err *err);

#endif
