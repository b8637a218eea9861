/*
 * Speed of the evaluation: AUC of one run, and bootstrap replicates of two arms with three seeds
 * each, over as many rows as the test split of a small shop has.
 */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "offline/eval/auc.h"
#include "offline/eval/bootstrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 44000, USERS = 22000, SEEDS = 3, REPEATS = 15, CHECKED = 500 };

static uint64_t ROW[ROWS], SEED[SEEDS] = {1, 2, 3};
static uint32_t USER[ROWS];
static uint8_t LABEL[ROWS];
static float SCORES[LCF_ARMS][SEEDS * ROWS];
static uint64_t KEYS[2 * ROWS];

static void simulate(void)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < ROWS; i++) {
        ROW[i] = i;
        USER[i] = (uint32_t)(i % USERS);
        LABEL[i] = lcf_rng_below(&rng, 2) == 1;
        for (size_t a = 0; a < LCF_ARMS; a++)
            for (size_t s = 0; s < SEEDS; s++)
                SCORES[a][s * ROWS + i] = 0.3f * (float)LABEL[i] + 0.7f * lcf_rng_f32(&rng);
    }
}

/* The definition, over all pairs. */
static double auc_by_pairs(const float *scores, const uint8_t *labels, size_t n)
{
    double wins = 0, pairs = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            if (labels[i] && !labels[j]) {
                pairs++;
                wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            }
    return wins / pairs;
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_f64);
    return values[n / 2];
}

static double auc_seconds(void)
{
    double seconds[REPEATS], sum = 0;

    for (size_t i = 0; i < REPEATS + 2; i++) { /* two to warm up */
        double start = lcf_clock_s();
        sum += lcf_auc(SCORES[0], LABEL, ROWS, KEYS);
        if (i >= 2)
            seconds[i - 2] = lcf_clock_s() - start;
    }
    return isnan(sum) ? NAN : median(seconds, REPEATS);
}

static lcf_status bootstrap_seconds(double *out, lcf_pool *pool, lcf_err *err)
{
    lcf_bootstrap_options options = LCF_BOOTSTRAP_OPTIONS_INIT;
    const lcf_predictions a = {NULL, ROWS, SEEDS, ROW, USER, LABEL, SEED, SCORES[0]};
    const lcf_predictions b = {NULL, ROWS, SEEDS, ROW, USER, LABEL, SEED, SCORES[1]};
    double seconds[3];
    lcf_eval_table t;
    lcf_status status = lcf_eval_table_init(&t, &a, &b, err);

    if (status)
        return status;
    options.replicates_n = 128;
    for (size_t i = 0; i < 3 && !status; i++) {
        double start = lcf_clock_s();
        lcf_bootstrap result;
        status = lcf_bootstrap_run(&result, &t, pool, &options, err);
        if (!status)
            lcf_bootstrap_dispose(&result);
        seconds[i] = (lcf_clock_s() - start) / 128;
    }
    lcf_eval_table_dispose(&t);
    *out = median(seconds, 3);
    return status;
}

int main(int argc, char **argv)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_pool *pool = NULL;
    double seconds = 0;
    lcf_status status;

    lcf_cli_start(argc, argv);
    simulate();
    if (fabs(lcf_auc(SCORES[0], LABEL, CHECKED, KEYS) - auc_by_pairs(SCORES[0], LABEL, CHECKED)) >
        1e-12) {
        fprintf(stderr, "bench_evaluate: AUC is wrong\n");
        return 1;
    }
    printf("evaluate_auc_44000,%.3f,ms\n", 1e3 * auc_seconds());
    status = lcf_pool_create(&pool, 0, &err);
    if (!status)
        status = bootstrap_seconds(&seconds, pool, &err);
    if (status)
        fprintf(stderr, "bench_evaluate: %s\n", err.text);
    else
        printf("evaluate_bootstrap_2x3x44000_%zu_threads,%.1f,replicates/s\n",
               lcf_pool_threads(pool), 1 / seconds);
    lcf_pool_free(pool);
    return status ? 1 : 0;
}
