/*
 * How far the seeds of an artefact have come, told by those that train at the same time: one
 * progress line for all, whose total grows with every epoch that was the best so far.
 */
#ifndef LCF_OFFLINE_TRAIN_SEED_PROGRESS_H
#define LCF_OFFLINE_TRAIN_SEED_PROGRESS_H

#include "common/base/progress.h"
#include "offline/train/train.h"

#include <pthread.h>

typedef struct seed_progress {
    uint32_t epochs_max, patience;
    uint64_t epoch_rows;
    pthread_mutex_t lock; /* of what follows */
    lcf_progress line;
    uint64_t rows_done;
    uint32_t planned[LCF_TRAIN_SEEDS_MAX]; /* epochs that a seed takes at least, as far as is
                                              known; 0 for one that is there */
} seed_progress;

/* Starts the line of `label` (which outlives it) for the seeds that are to be trained. */
void seed_progress_start(seed_progress *p, const char *label, uint64_t epoch_rows,
                         uint32_t epochs_max, uint32_t patience, const size_t *missing,
                         size_t missing_n);
void seed_progress_end(seed_progress *p);

/* threads: any at a time, as for what follows */
void seed_progress_step(seed_progress *p, size_t rows);
/* Seed `idx` ended an epoch, of which best_epoch was the best so far (from 1); with a note for the
 * line. */
void seed_progress_epoch(seed_progress *p, size_t idx, uint32_t best_epoch, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
