/*
 * Bias, spread and coverage of the counterfactual estimators in worlds whose truth is known, as
 * CSV.
 *
 *     ope_truth [WORLDS] > tests/bench/ope_truth.csv        (500 worlds by default)
 */
#include "common/base/cli.h"
#include "common/base/str.h"
#include "tests/unit/eval/ope_world.h"

#include <stdio.h>
#include <string.h>

static const char *const RULES[] = {
    [LCF_OPE_TUNE_BOUND] = "bound", [LCF_OPE_TUNE_DIRECT] = "direct"};

/* The rule of tuning, "" for an estimator that has nothing to tune. */
static const char *rule_of(const char *name, lcf_ope_tuning rule)
{
    for (size_t e = 0; LCF_OPE_ESTIMATORS[e]; e++)
        if (!strcmp(LCF_OPE_ESTIMATORS[e]->name, name) && LCF_OPE_ESTIMATORS[e]->shrink)
            return RULES[rule];
    return "";
}

static void print_score(const ope_score *s, const char *world, size_t users_n, size_t worlds_n,
                        lcf_ope_tuning rule, double truth)
{
    const char *tuning = rule_of(s->name, rule);

    if (s->absent || (rule != LCF_OPE_TUNE_BOUND && !*tuning))
        return;
    printf("%s,%zu,%zu,%s,%s,%.4f,%+.5f,%.5f,%.5f,%.5f,%.3f,%.3f\n", world, users_n, worlds_n,
           s->name, tuning, truth, s->bias, s->sd, s->rmse, s->mean_se, s->covered_normal,
           s->covered_bootstrap);
}

static lcf_status run_rows(ope_world_kind kind, size_t users_n, size_t worlds_n, lcf_pool *pool,
                           lcf_err *err)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;
    ope_score scores[LCF_OPE_OUTCOMES_N];
    lcf_status status = LCF_OK;

    options.bootstrap.replicates_n = 400;
    for (int rule = LCF_OPE_TUNE_BOUND; rule <= LCF_OPE_TUNE_DIRECT && !status; rule++) {
        options.tuning = (lcf_ope_tuning)rule;
        status = ope_world_judge(scores, kind, users_n, worlds_n, &options, pool, err);
        for (size_t e = 0; e < LCF_OPE_ESTIMATORS_N && !status; e++)
            print_score(&scores[e], OPE_WORLD_NAMES[kind], users_n, worlds_n, options.tuning,
                        ope_world_truth(kind));
    }
    return status;
}

static lcf_status run_lists(ope_lists_kind kind, size_t users_n, size_t worlds_n, lcf_pool *pool,
                            lcf_err *err)
{
    lcf_ope_options options = LCF_OPE_OPTIONS_INIT;
    ope_score scores[LCF_OPE_OUTCOMES_N];
    lcf_status status;

    options.bootstrap.replicates_n = 400;
    status = ope_lists_judge(scores, kind, users_n, worlds_n, &options, pool, err);
    for (size_t e = LCF_OPE_ESTIMATORS_N; e < LCF_OPE_OUTCOMES_N && !status; e++)
        print_score(&scores[e], OPE_LISTS_NAMES[kind], users_n, worlds_n, LCF_OPE_TUNE_BOUND,
                    ope_lists_truth(kind));
    return status;
}

int main(int argc, char **argv)
{
    static const size_t USERS[] = {100, 400, 1600};
    uint64_t worlds_n = 500;
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool = NULL;
    lcf_status status;

    lcf_cli_start(argc, argv);
    if (argc > 1 && !lcf_parse_u64(argv[1], strlen(argv[1]), &worlds_n))
        return 2;
    status = lcf_pool_create(&pool, 0, &err);
    printf("world,users,worlds,estimator,tuning,truth,bias,sd,rmse,mean_se,covered_normal,"
           "covered_bootstrap\n");
    for (int kind = 0; kind < OPE_WORLDS_N && !status; kind++)
        for (size_t u = 0; u < sizeof(USERS) / sizeof(USERS[0]) && !status; u++)
            status = run_rows((ope_world_kind)kind, USERS[u], worlds_n, pool, &err);
    for (int kind = 0; kind < OPE_LISTS_N && !status; kind++)
        for (size_t u = 0; u < sizeof(USERS) / sizeof(USERS[0]) && !status; u++)
            status = run_lists((ope_lists_kind)kind, USERS[u], worlds_n, pool, &err);
    if (status)
        fprintf(stderr, "ope_truth: %s\n", err.text);
    lcf_pool_free(pool);
    return status ? 1 : 0;
}
