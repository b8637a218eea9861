/* Estimators in many worlds, against the truth: see ope_world.h. */
#include "tests/unit/eval/ope_world.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    bool lists;
    int kind;
    size_t users_n;
    const lcf_ope_options *options;
    lcf_ope_estimate (*values)[LCF_OPE_OUTCOMES_N]; /* [worlds_n] */
    const char *names[LCF_OPE_OUTCOMES_N];
    bool absent[LCF_OPE_OUTCOMES_N];
} job;

static void keep(job *j, size_t world, const lcf_ope_result *result)
{
    for (size_t e = 0; e < result->outcomes_n; e++) {
        j->values[world][e] = result->outcomes[e].estimate[LCF_OPE_VALUE];
        if (!world) {
            j->names[e] = result->outcomes[e].name;
            j->absent[e] = result->outcomes[e].absent;
        }
    }
}

static lcf_status judge_one(void *arg, size_t task, size_t worker, lcf_err *err)
{
    job *j = arg;
    lcf_pool *alone = NULL;
    lcf_ope_result result = {0};
    lcf_ope_log log = {0};
    lcf_status status =
        j->lists ? ope_lists_log(&log, (ope_lists_kind)j->kind, j->users_n, task + 1, err)
                 : ope_world_log(&log, (ope_world_kind)j->kind, j->users_n, task + 1, err);

    (void)worker;
    if (!status)
        status = lcf_pool_create(&alone, 1, err);
    if (!status)
        status = lcf_ope_evaluate(&result, &log, alone, j->options, err);
    if (!status)
        keep(j, task, &result);
    lcf_ope_result_dispose(&result);
    lcf_ope_log_dispose(&log);
    lcf_pool_free(alone);
    return status;
}

static void sum_up(ope_score *score, const job *j, size_t e, size_t worlds_n, double truth)
{
    double n = (double)worlds_n, mean = 0, squares = 0;

    memset(score, 0, sizeof(*score));
    score->name = j->names[e];
    score->absent = j->absent[e];
    for (size_t i = 0; i < worlds_n; i++) {
        const lcf_ope_estimate *v = &j->values[i][e];
        double d = v->value - truth;
        mean += d / n;
        squares += d * d / n;
        score->mean_se += v->se / n;
        score->covered_normal += (v->normal_low <= truth && truth <= v->normal_high) / n;
        score->covered_bootstrap += (v->bootstrap_low <= truth && truth <= v->bootstrap_high) / n;
    }
    score->bias = mean;
    score->sd = sqrt(fmax(0, squares - mean * mean));
    score->rmse = sqrt(squares);
}

static lcf_status judge(ope_score *scores, job *j, size_t worlds_n, double truth, lcf_pool *pool,
                        lcf_err *err)
{
    lcf_status status;

    j->values = lcf_alloc_zero(worlds_n, sizeof(*j->values));
    status = j->values ? lcf_pool_run(pool, worlds_n, judge_one, j, err)
                       : LCF_FAIL(err, LCF_ENOMEM, "%zu worlds", worlds_n);
    for (size_t e = 0; e < LCF_OPE_OUTCOMES_N && !status; e++)
        sum_up(&scores[e], j, e, worlds_n, truth);
    free(j->values);
    return status;
}

lcf_status ope_world_judge(ope_score *scores, ope_world_kind kind, size_t users_n, size_t worlds_n,
                           const lcf_ope_options *options, lcf_pool *pool, lcf_err *err)
{
    job j = {.kind = (int)kind, .users_n = users_n, .options = options};

    return judge(scores, &j, worlds_n, ope_world_truth(kind), pool, err);
}

lcf_status ope_lists_judge(ope_score *scores, ope_lists_kind kind, size_t users_n, size_t worlds_n,
                           const lcf_ope_options *options, lcf_pool *pool, lcf_err *err)
{
    job j = {.lists = true, .kind = (int)kind, .users_n = users_n, .options = options};

    return judge(scores, &j, worlds_n, ope_lists_truth(kind), pool, err);
}

const ope_score *ope_score_find(const ope_score *scores, const char *name)
{
    for (size_t e = 0; e < LCF_OPE_OUTCOMES_N; e++)
        if (scores[e].name && !strcmp(scores[e].name, name))
            return &scores[e];
    return NULL;
}
