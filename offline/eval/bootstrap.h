/*
 * Paired bootstrap of two arms, clustered by user.
 *
 * A replicate draws as many users as there are, with replacement; each row counts as often as its
 * user was drawn, in both arms (hence paired). A user's rows depend on each other, so drawing rows
 * would make intervals too narrow. Seeds enter as a second factor: unless told otherwise, a
 * replicate also draws as many seeds as there are, with replacement, the same for both arms where
 * their lists of seeds agree and independently where not, and averages the measure over the drawn
 * seeds. So an interval covers new users and new training runs. With few seeds (S) it
 * understates their part of the variance by (S - 1) / S; with one seed it covers users only.
 *
 * Nothing is copied: rows are sorted once per run, and one walk with weights per user serves
 * sixteen replicates (offline/eval/weighted.h). Replicate r draws from stream r of the seed, so the
 * result is the same at any thread count.
 *
 * source   Field and Welsh 2007 (cluster bootstrap); Owen and Eckles 2012 (two factors);
 *          schemas/report.md section 3
 */
#ifndef LCF_OFFLINE_EVAL_BOOTSTRAP_H
#define LCF_OFFLINE_EVAL_BOOTSTRAP_H

#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "offline/eval/metrics.h"
#include "offline/eval/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Groups of users that the jackknife leaves out one at a time; with fewer users, each by itself. */
#define LCF_JACKKNIFE_GROUPS_MAX 200

typedef struct lcf_bootstrap_options {
    size_t replicates_n;
    uint64_t seed;
    bool seeds_fixed;       /* average over the seeds as they are: the interval covers users only */
    bool jackknife;         /* also leave users out, for BCa intervals */
    size_t list_k;          /* where lists end; 0: no lists, their measures are NaN */
    lcf_progress *progress; /* advanced by one per replicate; NULL is fine */
} lcf_bootstrap_options;

#define LCF_BOOTSTRAP_OPTIONS_INIT     \
    {                                  \
        2000, 1, false, false, 0, NULL \
    }

typedef struct lcf_bootstrap {
    double *point[LCF_ARMS]; /* [seeds_n, LCF_METRICS_N] of the rows as they are */
    size_t seeds_n[LCF_ARMS];
    size_t users_both_n; /* users with both classes: those that UAUC and GAUC are about */
    size_t replicates_n;
    double *values; /* [replicates_n, LCF_ARMS, LCF_METRICS_N], mean over the drawn seeds; NaN where
                       undefined */
    size_t left_out_n; /* groups of the jackknife; 0 without */
    double *left_out;  /* [left_out_n, LCF_ARMS, LCF_METRICS_N] without group g, mean over seeds */
} lcf_bootstrap;

/*
 * errors   ELIMIT 2^29 users or more; ENOMEM; ECANCELED a stop was requested
 * memory   dispose releases, also after a failure
 * cost     O(replicates * seeds * rows / lanes)
 */
lcf_status lcf_bootstrap_run(lcf_bootstrap *out, const lcf_eval_table *t, lcf_pool *pool,
                             const lcf_bootstrap_options *options, lcf_err *err);
void lcf_bootstrap_dispose(lcf_bootstrap *b);

/* Mean over the seeds of the rows as they are. */
double lcf_bootstrap_point(const lcf_bootstrap *b, size_t arm, lcf_metric metric);

static inline double lcf_bootstrap_value(const lcf_bootstrap *b, size_t replicate, size_t arm,
                                         lcf_metric metric)
{
    return b->values[(replicate * LCF_ARMS + arm) * LCF_METRICS_N + metric];
}

static inline double lcf_bootstrap_left_out(const lcf_bootstrap *b, size_t group, size_t arm,
                                            lcf_metric metric)
{
    return b->left_out[(group * LCF_ARMS + arm) * LCF_METRICS_N + metric];
}

#endif
