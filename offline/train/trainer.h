/* Trains one seed: epochs of Adam over the shuffled training rows, the best epoch by valid AUC
 * kept. */
#ifndef LCF_OFFLINE_TRAIN_TRAINER_H
#define LCF_OFFLINE_TRAIN_TRAINER_H

#include "offline/train/inputs.h"

typedef struct train_epoch {
    double loss, rec_loss; /* means over the epoch's rows; rec_loss is NaN where there was none */
    double valid_auc;
} train_epoch;

typedef struct train_result {
    uint64_t seed;
    uint32_t epochs_n, best_epoch; /* best_epoch counts from 1 */
    train_epoch epochs[LCF_TRAIN_EPOCHS_MAX];
    double valid_auc, valid_logloss, test_auc, test_logloss; /* of the best epoch */
    double seconds, samples_per_s; /* of the training steps alone: rows over their seconds */
    double seconds_per_1000_rows;  /* of scoring the test split */
    float *valid, *test;           /* [rows of that split] probabilities; owned */
} train_result;

void train_result_dispose(train_result *r);

/* Told after every step and epoch, from the training thread. */
typedef struct train_watch {
    void (*step)(void *arg, size_t rows);
    void (*epoch)(void *arg, const train_result *so_far);
    void *arg;
} train_watch;

/*
 * Trains one seed, or goes on with it from the checkpoint in `dir` (seed-<s>.epoch.lcf), which it
 * writes after every epoch; dir may be NULL: without.
 *
 * order    weights from `seed`; the order of the rows from (seed, epoch), dropout from (seed, step)
 * errors   EDIVERGED, ECANCELED, ENOMEM as lcf_train
 * memory   *ranker (best weights) and *result are the caller's
 * threads  `threads` of its own, the caller's among them; the result does not depend on how many;
 *          `in` is shared and read only
 */
lcf_status train_seed(lcf_ranker **ranker, train_result *result, const train_inputs *in,
                      const lcf_train_params *params, uint64_t seed, size_t threads,
                      const char *dir, const train_watch *watch, lcf_err *err);

/* The order in which an epoch (from 0) of a seed takes the n training rows, or sequences. */
void train_order(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
