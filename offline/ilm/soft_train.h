/*
 * Phase 2: an adapter is trained through a frozen language model. A step draws rows of the tasks,
 * makes the soft tokens of their items and users, takes the gradient of the answers' loss with
 * respect to them from the model (llama_train.h), and goes on with it through the adapter.
 *
 * Every row counts the same: its loss is the mean over its answer's tokens, so that a Yes weighs as
 * much as a description.
 *
 * Invariant: row i of step s is a function of (tasks, seed, s, i); the entities of a step are cut
 * into a fixed number of slices, each on a tape of its own, whose gradients are added in order:
 * the same bits at any number of threads, and 100 steps are 50, stop, resume, 50.
 *
 * Life cycle: create -> run (again after a stop) -> free. One thread calls; all it is given must
 * outlive it.
 *
 * source   ILM, arXiv 2406.02844, phase 2; schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_SOFT_TRAIN_H
#define LCF_OFFLINE_ILM_SOFT_TRAIN_H

#include "common/math/product.h"
#include "common/nn/optim.h"
#include "offline/ilm/adapter.h"
#include "offline/ilm/tasks.h"

#define LCF_ILM_STATE_VERSION 1 /* of a checkpoint, kind "ilm_state" */

typedef struct lcf_ilm_train_options {
    uint64_t seed, steps, warmup;
    uint64_t eval_every; /* steps; the state is saved then, too */
    uint64_t patience;   /* evaluations without a better one, after which it ends; 0: never */
    size_t batch_rows;   /* of a step */
    size_t valid_rows;   /* of each task, evenly spread over the valid split */
    lcf_lr_schedule schedule;
    float peak_lr, floor_lr, weight_decay, clip_norm;
    lcf_precision precision; /* of the model's products */
} lcf_ilm_train_options;
#define LCF_ILM_TRAIN_OPTIONS_INIT                                                                \
    {                                                                                             \
        .seed = 1, .steps = 400, .warmup = 40, .eval_every = 50, .patience = 5, .batch_rows = 16, \
        .valid_rows = 64, .schedule = LCF_LR_COSINE, .peak_lr = 1e-3f, .floor_lr = 0.1f,          \
        .weight_decay = 0.01f, .clip_norm = 1.0f                                                  \
    }

typedef struct lcf_ilm_point { /* of the curve */
    double step, train, valid; /* mean -log p a token of the answers; train: since the last point */
} lcf_ilm_point;

typedef struct lcf_ilm_trainer lcf_ilm_trainer;

/* errors: as lcf_llama_trainer_from; EINVAL the adapter is of other sizes; ENOMEM */
lcf_status lcf_ilm_trainer_create(lcf_ilm_trainer **out, const lcf_llama *m, lcf_ilm_adapter *a,
                                  const lcf_ilm_tasks *tasks, const lcf_soft_form *form,
                                  const lcf_cf_vectors *v, const lcf_ilm_train_options *options,
                                  lcf_pool *pool, lcf_err *err);
void lcf_ilm_trainer_free(lcf_ilm_trainer *t);

/* One update. *loss: mean -log p a token. errors: EDIVERGED not finite; ENOMEM */
lcf_status lcf_ilm_trainer_step(double *loss, lcf_ilm_trainer *t, lcf_err *err);
/* The gradient of the last step's objective, of a part of the adapter; before clipping. */
const lcf_grads *lcf_ilm_trainer_grads(const lcf_ilm_trainer *t, size_t part);
/* The mean of the rows' losses that step `step` would learn from, without dropout or update. */
lcf_status lcf_ilm_trainer_objective(double *out, lcf_ilm_trainer *t, uint64_t step, lcf_err *err);
/* Over the fixed rows of the valid split: the tasks' mean -log p a token, by their shares. */
lcf_status lcf_ilm_trainer_valid(double *loss, lcf_ilm_trainer *t, lcf_err *err);

/*
 * Steps until the end or until the valid loss stops falling, from the state in the file `state`
 * where there is one; the adapter then has the weights of the best evaluation.
 *
 * errors   ECANCELED a signal: the state is saved, run again to go on; EFORMAT a state of another
 *          adapter; EDIVERGED a valid loss is not finite; those of the steps
 */
lcf_status lcf_ilm_trainer_run(lcf_ilm_trainer *t, const char *state, lcf_err *err);

typedef struct lcf_ilm_curve {
    const lcf_ilm_point *points;
    size_t n;
    uint64_t steps, best_step;
    double best;     /* valid loss */
    uint64_t tokens; /* that went through the model to be learned from, in this process */
    double seconds;  /* of steps, in this process */
} lcf_ilm_curve;
lcf_ilm_curve lcf_ilm_trainer_curve(const lcf_ilm_trainer *t);

#endif
