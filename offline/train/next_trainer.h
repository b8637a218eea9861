/*
 * Trains one seed of a next-item model: epochs of Adam over the users' sequences in random order,
 * the best epoch by NDCG@10 of a full ranking of the valid split kept.
 */
#ifndef LCF_OFFLINE_TRAIN_NEXT_TRAINER_H
#define LCF_OFFLINE_TRAIN_NEXT_TRAINER_H

#include "offline/eval/rank_measures.h"
#include "offline/train/next_rows.h"
#include "offline/train/next_sampler.h"
#include "offline/train/side_inputs.h"
#include "offline/train/train_next.h"

typedef struct next_epoch {
    double loss; /* mean over the epoch's questions, dropout on, with the side module's */
    double valid_hr10, valid_ndcg10;
} next_epoch;

typedef struct next_result {
    uint64_t seed;
    uint32_t epochs_n, best_epoch; /* best_epoch counts from 1 */
    next_epoch epochs[LCF_TRAIN_EPOCHS_MAX];
    uint32_t *ranks[3];              /* [rows of that split] of valid and test, best epoch; owned */
    double seconds, questions_per_s; /* of the training steps alone */
} next_result;

void next_result_dispose(next_result *r);

/* Told after every step and epoch, from the training thread. */
typedef struct next_watch {
    void (*step)(void *arg, size_t questions);
    void (*epoch)(void *arg, const next_result *so_far);
    void *arg;
} next_watch;

/* What all seeds share; read only. */
typedef struct next_inputs {
    next_rows rows;
    next_sampler sampler;
    side_inputs side;
    lcf_next_config config;
} next_inputs;

/*
 * Trains one seed, or goes on with it from the checkpoint in `dir` (seed-<s>.epoch.lcf), which it
 * writes after every epoch; dir may be NULL: without.
 *
 * order    weights from `seed`; the order of the sequences from (seed, epoch), negatives and
 *          dropout from (seed, step)
 * errors   EDIVERGED, ECANCELED, ENOMEM as lcf_train_next
 * memory   *model (best weights) and *result are the caller's
 * threads  runs in the caller's
 */
lcf_status next_train_seed(lcf_next **model, next_result *result, const next_inputs *in,
                           const lcf_train_next_params *params, uint64_t seed, const char *dir,
                           const next_watch *watch, lcf_err *err);

#endif
