/*
 * Writes two folders with predictions for the tests of `llmcf evaluate`:
 *     eval_fixture WHAT DIR_A DIR_B [DATASET]
 * with three seeds over 2,400 rows of 300 users, or over the test rows of a dataset. WHAT: "better"
 * (B ranks better), "equal" (same skill), "rows" (B is about other rows), "labels" (B has another
 * label), "one-class".
 */
#include "common/base/file.h"
#include "common/base/rng.h"
#include "common/data/dataset.h"
#include "common/data/predictions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USERS = 300, PER_USER = 8, ROWS_MAX = 10000, SEEDS = 3 };

static uint64_t ROW[2][ROWS_MAX], SEED[SEEDS] = {1, 2, 3};
static uint32_t USER[ROWS_MAX];
static uint8_t LABEL[2][ROWS_MAX];
static float SCORES[2][SEEDS * ROWS_MAX];

static size_t ROWS = USERS * PER_USER;

static float sigmoid(double x)
{
    return (float)(1 / (1 + exp(-x)));
}

static void simulate(const double skill[2])
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    for (size_t i = 0; i < ROWS; i++) {
        double taste = 1.5 * lcf_rng_normal(&rng);
        USER[i] = (uint32_t)(1 + i / PER_USER);
        for (size_t a = 0; a < 2; a++) {
            ROW[a][i] = 100 + i;
            for (size_t s = 0; s < SEEDS; s++)
                SCORES[a][s * ROWS + i] =
                    sigmoid(skill[a] * taste + 0.8 * lcf_rng_normal(&rng) + 0.05 * (double)s);
        }
        LABEL[0][i] = LABEL[1][i] = lcf_rng_f64(&rng) < (double)sigmoid(taste);
    }
}

/* Rows, users and labels of the test split; scores that know something of the label. */
static int take_dataset(const char *dir, const double skill[2])
{
    lcf_dataset d;
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;
    size_t first;

    if (lcf_dataset_open(&d, dir, &err)) {
        fprintf(stderr, "eval_fixture: %s\n", err.text);
        return 1;
    }
    first = d.split_begin[LCF_TEST];
    ROWS = d.samples_n - first < ROWS_MAX ? d.samples_n - first : ROWS_MAX;
    lcf_rng_seed(&rng, 5, 1);
    for (size_t i = 0; i < ROWS; i++) {
        USER[i] = d.sample_user[first + i];
        for (size_t a = 0; a < 2; a++) {
            ROW[a][i] = first + i;
            LABEL[a][i] = d.sample_label[first + i];
            for (size_t s = 0; s < SEEDS; s++)
                SCORES[a][s * ROWS + i] =
                    sigmoid(skill[a] * (LABEL[a][i] ? 1 : -1) + lcf_rng_normal(&rng));
        }
    }
    lcf_dataset_close(&d);
    return 0;
}

static int save(const char *dir, const char *split, size_t a)
{
    lcf_predictions p = {NULL, ROWS, SEEDS, ROW[a], USER, LABEL[a], SEED, SCORES[a]};
    lcf_err err = LCF_ERR_INIT;
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.lcf", dir, split);
    if (lcf_dir_create(dir, &err) || lcf_predictions_save(path, &p, &err)) {
        fprintf(stderr, "eval_fixture: %s\n", err.text);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    double skill[2] = {0.6, 0.6};

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: eval_fixture WHAT DIR_A DIR_B [DATASET]\n");
        return 2;
    }
    if (!strcmp(argv[1], "better"))
        skill[1] = 0.9;
    simulate(skill);
    if (argc == 5 && take_dataset(argv[4], skill))
        return 1;
    if (!strcmp(argv[1], "rows"))
        for (size_t i = 17; i < ROWS; i++)
            ROW[1][i]++;
    if (!strcmp(argv[1], "labels"))
        LABEL[1][42] = !LABEL[1][42];
    if (!strcmp(argv[1], "one-class"))
        memset(LABEL, 0, sizeof(LABEL));
    return save(argv[2], "test", 0) || save(argv[2], "valid", 0) || save(argv[3], "test", 1) ||
           save(argv[3], "valid", 1);
}
