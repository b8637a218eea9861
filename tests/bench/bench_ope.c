/*
 * Speed of counterfactual evaluation: a million rows of a third of a million users, all estimators
 * with the reward model, and the bootstrap.
 */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "tests/unit/eval/ope_world.h"

#include <math.h>
#include <stdio.h>

enum { USERS = 333333, FEW = 4, MANY = 104 };

/* Seconds of an evaluation with so many replicates; NaN when the result is wrong. */
static double seconds_of(const lcf_ope_log *log, lcf_pool *pool, size_t replicates_n, lcf_err *err)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;
    double start = lcf_clock_s(), took, truth = ope_world_truth(OPE_WORLD_MODERATE);
    const lcf_ope_estimate *dr;
    lcf_ope_result result;

    options.bootstrap.replicates_n = replicates_n;
    if (lcf_ope_evaluate(&result, log, pool, &options, err))
        return NAN;
    took = lcf_clock_s() - start;
    dr = &lcf_ope_find(&result, "dr")->estimate[LCF_OPE_VALUE];
    if (!(fabs(dr->value - truth) < 5 * dr->se)) {
        LCF_FAIL(err, LCF_EINVAL, "DR is %g, the truth %g", dr->value, truth);
        took = NAN;
    }
    lcf_ope_result_dispose(&result);
    return took;
}

int main(int argc, char **argv)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool = NULL;
    lcf_ope_log log = {0};
    double few = NAN, many = NAN;
    lcf_status status;

    lcf_cli_start(argc, argv);
    status = lcf_pool_create(&pool, 0, &err);
    if (!status)
        status = ope_world_log(&log, OPE_WORLD_MODERATE, USERS, 1, &err);
    if (!status)
        few = seconds_of(&log, pool, FEW, &err);
    if (!status && !isnan(few))
        many = seconds_of(&log, pool, MANY, &err);
    if (isnan(many)) {
        fprintf(stderr, "bench_ope: %s\n", err.text);
    } else {
        printf("ope_evaluate_%zu_rows,%.3f,s\n", log.rows_n, few);
        printf("ope_bootstrap_%d_users_9_estimators_%zu_threads,%.1f,replicates/s\n", USERS,
               lcf_pool_threads(pool), (MANY - FEW) / (many - few));
    }
    lcf_ope_log_dispose(&log);
    lcf_pool_free(pool);
    return isnan(many);
}
