/*
 * A seed between two epochs: all that training needs to go on with the same bits, written after
 * each epoch, so that a killed run loses at most the epoch it was in.
 */
#ifndef LCF_OFFLINE_TRAIN_CHECKPOINT_H
#define LCF_OFFLINE_TRAIN_CHECKPOINT_H

#include "common/nn/optim.h"
#include "offline/train/trainer.h"

typedef struct train_checkpoint {
    lcf_params *params;
    lcf_adam *adam;
    float *best;           /* [params->values_n] values of the best epoch */
    float *average;        /* [params->values_n] over the steps; NULL where none is kept */
    double *learning_rate; /* of the next epoch */
    train_result *result;  /* epochs, best_epoch, valid_auc and seconds so far */
} train_checkpoint;

/* The file appears whole or not at all. */
lcf_status train_checkpoint_save(const char *path, const train_checkpoint *c, lcf_err *err);
/*
 * Fills what `c` points to.
 *
 * errors   ENOENT there is none; EFORMAT, ECHECKSUM, EVERSION it cannot be used; nothing is changed
 */
lcf_status train_checkpoint_load(const train_checkpoint *c, const char *path, lcf_err *err);

#endif
