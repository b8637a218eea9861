/*
 * Speed of the evaluation: AUC of one run, and bootstrap replicates of two arms with three seeds
 * each, over as many rows as the test split of a small shop has; then 10 million rows and 2,000
 * replicates of a million rows, beside scikit-learn and numpy on the same rows
 * (evaluate_twin.py, where they are installed), who must say the same.
 */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "common/base/rng.h"
#include "offline/eval/auc.h"
#include "offline/eval/bootstrap.h"
#include "offline/eval/log_loss.h"
#include "offline/eval/user_auc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    lcf_status status = lcf_eval_table_align(&t, &a, &b, NULL, err);

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

/* ---- many rows, beside the twin ---- */

enum { MANY = 10000000, MANY_USERS = 500000, MILLION = 1000000, MILLION_USERS = 50000 };

typedef struct many {
    size_t rows_n, users_n;
    uint32_t *user;
    uint8_t *label;
    float *scores[LCF_ARMS];
    uint64_t *row;
} many;

static void fail(const char *what)
{
    fprintf(stderr, "bench_evaluate: %s\n", what);
    exit(1);
}

static many simulate_many(size_t rows_n, size_t users_n)
{
    many m = {rows_n,
              users_n,
              lcf_alloc(rows_n, sizeof(uint32_t)),
              lcf_alloc(rows_n, 1),
              {lcf_alloc(rows_n, sizeof(float)), lcf_alloc(rows_n, sizeof(float))},
              lcf_alloc(rows_n, sizeof(uint64_t))};
    lcf_rng rng;

    if (!m.user || !m.label || !m.scores[0] || !m.scores[1] || !m.row)
        fail("out of memory");
    lcf_rng_seed(&rng, 2, rows_n);
    for (size_t i = 0; i < rows_n; i++) {
        m.row[i] = i;
        m.user[i] = (uint32_t)lcf_rng_below(&rng, users_n);
        m.label[i] = lcf_rng_below(&rng, 4) == 0;
        for (size_t a = 0; a < LCF_ARMS; a++)
            m.scores[a][i] = 0.2f * (float)m.label[i] + 0.8f * lcf_rng_f32(&rng);
    }
    return m;
}

static void free_many(many *m)
{
    free(m->user);
    free(m->label);
    free(m->scores[0]);
    free(m->scores[1]);
    free(m->row);
}

static long peak_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

/* AUC, UAUC and log loss, on one thread. */
static double measure_many(double out[3], const many *m)
{
    double start = lcf_clock_s();
    uint64_t *keys = lcf_alloc(2 * m->rows_n, sizeof(*keys));
    lcf_user_auc users;

    if (!keys)
        fail("out of memory");
    out[0] = lcf_auc(m->scores[0], m->label, m->rows_n, keys);
    free(keys);
    if (lcf_user_auc_compute(&users, NULL, m->scores[0], m->label, m->user, m->rows_n, m->users_n,
                             NULL))
        fail("out of memory");
    out[1] = users.uauc;
    out[2] = lcf_log_loss(m->scores[0], m->label, m->rows_n);
    return lcf_clock_s() - start;
}

static double bootstrap_many(double out[2], const many *m, size_t replicates_n, size_t threads)
{
    static const uint64_t seed[] = {1};
    const lcf_predictions a = {NULL, m->rows_n, 1, m->row, m->user, m->label, seed, m->scores[0]};
    const lcf_predictions b = {NULL, m->rows_n, 1, m->row, m->user, m->label, seed, m->scores[1]};
    lcf_bootstrap_options options = LCF_BOOTSTRAP_OPTIONS_INIT;
    lcf_bootstrap result;
    lcf_eval_table t;
    lcf_pool *pool;
    double start = lcf_clock_s(), seconds;

    options.replicates_n = replicates_n;
    if (lcf_eval_table_align(&t, &a, &b, NULL, NULL) || lcf_pool_create(&pool, threads, NULL) ||
        lcf_bootstrap_run(&result, &t, pool, &options, NULL))
        fail("no bootstrap");
    seconds = lcf_clock_s() - start;
    for (size_t k = 0; k < LCF_ARMS; k++)
        out[k] = lcf_bootstrap_point(&result, k, LCF_METRIC_AUC);
    lcf_bootstrap_dispose(&result);
    lcf_eval_table_dispose(&t);
    lcf_pool_free(pool);
    return seconds;
}

static void put(const char *dir, const char *name, const void *data, size_t n)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (lcf_file_write(path, data, n, NULL))
        fail("cannot write for the twin");
}

/* Seconds that the twin takes for `what` on these rows; NaN when it cannot run. It checks `ours`.
 */
static double twin_seconds(const char *what, const many *m, const double *ours, size_t ours_n)
{
    char dir[] = "/tmp/bench_evaluate_XXXXXX", command[8192], line[256];
    const char *source = getenv("LCF_SOURCE_DIR");
    double seconds = NAN;
    size_t at;
    FILE *twin;

    if (!mkdtemp(dir))
        return NAN;
    put(dir, "user.u32", m->user, m->rows_n * sizeof(*m->user));
    put(dir, "label.u8", m->label, m->rows_n);
    put(dir, "a.f32", m->scores[0], m->rows_n * sizeof(float));
    put(dir, "b.f32", m->scores[1], m->rows_n * sizeof(float));
    at = (size_t)snprintf(command, sizeof(command),
                          "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 /usr/bin/python3 "
                          "'%s/tests/bench/evaluate_twin.py' %s '%s'",
                          source ? source : ".", what, dir);
    for (size_t i = 0; i < ours_n; i++)
        at += (size_t)snprintf(command + at, sizeof(command) - at, " %.17g", ours[i]);
    twin = popen(command, "r");
    if (!twin || !fgets(line, sizeof(line), twin) || sscanf(line, "%lf", &seconds) != 1)
        fprintf(stderr, "bench_evaluate: no twin for %s here\n", what);
    if (twin && pclose(twin))
        seconds = NAN;
    lcf_dir_remove(dir, NULL);
    return seconds;
}

static void bench_measures(void)
{
    many m = simulate_many(MANY, MANY_USERS);
    double values[3], seconds = INFINITY, twin;

    for (size_t i = 0; i < 3; i++) {
        double once = measure_many(values, &m);
        seconds = once < seconds ? once : seconds;
    }
    printf("evaluate_auc_uauc_logloss_10M,%.3f,s\n", seconds);
    printf("evaluate_auc_uauc_logloss_10M_peak,%.0f,MiB\n", (double)peak_kib() / 1024);
    fflush(stdout);
    twin = twin_seconds("measures", &m, values, 3);
    if (!isnan(twin)) {
        printf("evaluate_auc_uauc_logloss_10M_sklearn,%.3f,s\n", twin);
        printf("evaluate_auc_uauc_logloss_10M_against_sklearn,%.1f,times\n", twin / seconds);
    }
    free_many(&m);
}

static void bench_replicates(void)
{
    many m = simulate_many(MILLION, MILLION_USERS);
    double values[2], one = bootstrap_many(values, &m, 2000, 1);
    double two = bootstrap_many(values, &m, 2000, 2), twin;

    printf("evaluate_bootstrap_2000_of_1M_2_threads,%.2f,s\n", two);
    fflush(stdout);
    twin = twin_seconds("bootstrap", &m, values, 2); /* of one replicate, on one thread */
    if (!isnan(twin)) {
        printf("evaluate_bootstrap_1M_numpy,%.1f,replicates/s\n", 1 / twin);
        printf("evaluate_bootstrap_1M_1_thread,%.1f,replicates/s\n", 2000 / one);
        printf("evaluate_bootstrap_1M_1_thread_against_numpy,%.1f,times\n", twin * 2000 / one);
        printf("evaluate_bootstrap_2000_of_1M_2_threads_against_numpy,%.1f,times\n",
               twin * 2000 / two);
    }
    free_many(&m);
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
    if (status)
        return 1;
    bench_measures();
    bench_replicates();
    return 0;
}
