/*
 * A seed between two epochs: all that training needs to go on with the same bits, written after
 * each epoch, so that a killed run loses at most the epoch it was in.
 */
#ifndef LCF_OFFLINE_TRAIN_CHECKPOINT_H
#define LCF_OFFLINE_TRAIN_CHECKPOINT_H

#include "common/nn/optim.h"

typedef struct train_checkpoint {
    lcf_params *params;
    lcf_adam *adam;
    float *best;    /* [params->values_n] values of the best epoch */
    float *average; /* [params->values_n] over the steps; NULL where none is kept */
    void *epochs;   /* [LCF_TRAIN_EPOCHS_MAX] structs of epoch_doubles doubles each */
    size_t epoch_doubles;
    uint32_t *epochs_n, *best_epoch; /* best_epoch counts from 1 */
    double *seconds, *learning_rate; /* of training so far; of the next epoch */
} train_checkpoint;

/* The file appears whole or not at all. */
lcf_status train_checkpoint_save(const char *path, const train_checkpoint *c, lcf_err *err);
/*
 * Fills what `c` points to.
 *
 * errors   ENOENT there is none; EFORMAT, ECHECKSUM, EVERSION it cannot be used; nothing is changed
 */
lcf_status train_checkpoint_load(const train_checkpoint *c, const char *path, lcf_err *err);
/*
 * Takes up what an earlier run of the seed left after its last epoch, and says so. A file that
 * cannot be used is a warning, and the seed begins anew.
 *
 * path     NULL: there is none
 * errors   ENOMEM
 */
lcf_status train_checkpoint_go_on(const train_checkpoint *c, const char *path, uint64_t seed,
                                  lcf_err *err);

#endif
