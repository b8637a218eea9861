/*
 * Phase 1: trains a Q-Former on items, their texts, and pairs of what is consumed together; the
 * epoch with the smallest losses on the validation part is kept.
 *
 * An epoch is one pass over the training items, in batches; per batch of them there is one of each
 * kind of pairs that a loss asks for, drawn from all.
 *
 * source   companions.md section 3
 */
#ifndef LCF_OFFLINE_ILM_PHASE1_H
#define LCF_OFFLINE_ILM_PHASE1_H

#include "offline/ilm/phase1_measures.h"

#define PHASE1_EPOCHS_MAX 1000

typedef struct phase1_params {
    unsigned losses;     /* PHASE1_BIT of each; at least one */
    bool alternate;      /* a step of its own for texts and for each kind of pairs; else summed */
    uint32_t epochs_max; /* 1 .. PHASE1_EPOCHS_MAX */
    uint32_t patience;   /* epochs without a better one; at least 1 */
    uint32_t batch;      /* items, and pairs; at least 4: an even division leaves no row alone */
    uint32_t warmup;     /* steps */
    double learning_rate, weight_decay, clip, smoothing;
    uint64_t seed;
    size_t threads;
} phase1_params;

/* Rates and decay as published for BLIP-2's first stage, for smaller models and batches. */
#define PHASE1_PARAMS_INIT                                                                   \
    {                                                                                        \
        .losses = PHASE1_TEXT | PHASE1_BIT(PHASE1_IIC), .epochs_max = 60, .patience = 10,    \
        .batch = 64, .warmup = 50, .learning_rate = 5e-4, .weight_decay = 0.05, .clip = 1.0, \
        .smoothing = 0.1, .seed = 1                                                          \
    }

/* All doubles, as checkpoints keep them. */
typedef struct phase1_epoch {
    double train[PHASE1_LOSSES_N]; /* means over the epoch's steps; NaN: not trained */
    phase1_measures valid;
    double criterion; /* sum of the losses trained, on the validation part; on the training rows
                         where it has none for a loss */
} phase1_epoch;

typedef struct phase1_result {
    uint32_t epochs_n, best_epoch; /* best_epoch counts from 1 */
    phase1_epoch epochs[PHASE1_EPOCHS_MAX];
    phase1_measures start, test; /* of the test part: random weights, and the best epoch's */
    phase1_measures seen;        /* of the training part: the best epoch's */
} phase1_result;

/* Told after every step and epoch, from the training thread. */
typedef struct phase1_watch {
    void (*step)(void *arg);
    void (*epoch)(void *arg, const phase1_result *so_far);
    void *arg;
} phase1_watch;

/* errors: EINVAL a loss without its data, or a number out of range */
lcf_status phase1_check(const phase1_data *data, const phase1_params *params, lcf_err *err);
/* Steps of an epoch. */
size_t phase1_steps(const phase1_data *data, const phase1_params *params);

/*
 * Trains m, which becomes the best epoch's, or goes on from the checkpoint in `dir` (epoch.lcf),
 * which it writes after every epoch; dir may be NULL: without.
 *
 * order    of the items from (seed, epoch), pairs, dropout and negatives from (seed, step)
 * errors   EINVAL as phase1_check; EDIVERGED; ECANCELED it was asked to stop, the epoch at
 *          hand is lost; ENOMEM
 * threads  `threads` of its own, the caller's among them; the result does not depend on how many
 */
lcf_status phase1_train(phase1_result *result, lcf_qformer *m, const phase1_data *data,
                        const phase1_params *params, const char *dir, const phase1_watch *watch,
                        lcf_err *err);

#endif
