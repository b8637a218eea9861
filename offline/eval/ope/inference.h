/*
 * From the terms of an estimator to a value with its uncertainty: point estimate, normal interval
 * by the delta method, percentile interval by the bootstrap, both clustered by user; and what the
 * weights say about how far the estimate can be trusted.
 *
 * source   normal interval of a ratio: Owen 2013, "Monte Carlo theory, methods and examples", 9.2;
 *          cluster bootstrap: Field and Welsh 2007; effective sample size: Kong 1992
 */
#ifndef LCF_OFFLINE_EVAL_OPE_INFERENCE_H
#define LCF_OFFLINE_EVAL_OPE_INFERENCE_H

#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "offline/eval/ope/estimator.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_OPE_CONFIDENCE 0.95

/* Sums of the terms over the units of one cluster: all that a resampling of clusters needs. */
typedef struct lcf_ope_sums {
    double n, base, correction, norm;
    double reward; /* that was logged */
} lcf_ope_sums;

/* What an estimator can be asked for. */
typedef enum lcf_ope_quantity {
    LCF_OPE_VALUE, /* of the target policy, per unit */
    LCF_OPE_LIFT,  /* that value less the mean logged reward: target against logging policy */
    LCF_OPE_QUANTITIES_N
} lcf_ope_quantity;

typedef struct lcf_ope_estimate {
    double value;                         /* NaN where nothing is left to divide by */
    double se;                            /* standard error, clustered; NaN below two clusters */
    double normal_low, normal_high;       /* value +- 1.96 se */
    double bootstrap_low, bootstrap_high; /* NaN before lcf_ope_bootstrap */
} lcf_ope_estimate;

/* NaN when there is nothing to divide by. */
double lcf_ope_value(const lcf_ope_sums *sums, lcf_ope_quantity quantity);

/*
 * Adds the terms of each cluster up.
 *
 * shapes   out [clusters_n]; terms, reward and cluster [n], cluster[i] < clusters_n
 */
void lcf_ope_sum_clusters(lcf_ope_sums *out, size_t clusters_n, const lcf_ope_terms *terms,
                          const double *reward, const uint32_t *cluster, size_t n);

/* Point estimate, standard error and normal interval. shapes: clusters [clusters_n] */
lcf_ope_estimate lcf_ope_normal(const lcf_ope_sums *clusters, size_t clusters_n,
                                lcf_ope_quantity quantity);

typedef struct lcf_ope_bootstrap_options {
    size_t replicates_n;
    uint64_t seed;
    lcf_progress *progress; /* advanced by one per replicate; NULL is fine */
} lcf_ope_bootstrap_options;

#define LCF_OPE_BOOTSTRAP_OPTIONS_INIT \
    {                                  \
        2000, 1, NULL                  \
    }

/*
 * Percentile intervals of several estimators over the same resamplings of clusters. A replicate
 * draws as many clusters as there are, with replacement; reward model and hyper-parameters stay as
 * they are. Replicate r draws from stream r of the seed: the same result at any thread count.
 *
 * shapes   estimates [estimators_n, LCF_OPE_QUANTITIES_N], bootstrap_low and bootstrap_high are
 * set; sums [estimators_n, clusters_n] errors   ENOMEM; ECANCELED a stop was requested cost
 * O(replicates * estimators * clusters)
 */
lcf_status lcf_ope_bootstrap(lcf_ope_estimate *estimates, const lcf_ope_sums *sums,
                             size_t estimators_n, size_t clusters_n, lcf_pool *pool,
                             const lcf_ope_bootstrap_options *options, lcf_err *err);

#define LCF_OPE_LORENZ_POINTS 51

/* What the weights tell. */
typedef struct lcf_ope_weights {
    double mean; /* 1 is expected where the logging policy can do all that the target does */
    double mean_se;
    double max;
    double top_share; /* of all weight in the largest 1 % of the weights */
    double ess;       /* effective sample size, (sum w)^2 / sum w^2 */
    size_t zero_n;    /* rows that the target would never show */
    size_t n;
    double lorenz[LCF_OPE_LORENZ_POINTS]; /* share of all weight in the largest i/50 of the rows */
} lcf_ope_weights;

/* (sum w)^2 / sum w^2; NaN when all are 0. */
double lcf_ope_ess(const double *weight, size_t n);

/* errors: ENOMEM. mean_se is clustered. shapes: weight, cluster [n] */
lcf_status lcf_ope_weigh(lcf_ope_weights *out, const double *weight, const uint32_t *cluster,
                         size_t n, size_t clusters_n, lcf_err *err);

#endif
