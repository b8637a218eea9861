/*
 * train-next: next-item models, one per seed, with early stopping on the valid split's NDCG@10
 * under full ranking.
 *
 * Makes an artefact folder: seed-<s>.lcf (weights, schemas/next_item_weights.md) for every seed,
 * best.lcf (the seed of the highest valid NDCG@10), ranks-valid.lcf and ranks-test.lcf (the place
 * of every target for every seed, schemas/ranks.md), report.json, manifest.json. While it runs,
 * finished seeds are kept in OUT.partial, and so is each seed between two epochs: a stopped or
 * killed run goes on from there and ends with the same bytes.
 *
 * Same inputs, options and seeds give the same bytes, at any number of threads.
 */
#ifndef LCF_OFFLINE_TRAIN_TRAIN_NEXT_H
#define LCF_OFFLINE_TRAIN_TRAIN_NEXT_H

#include "common/base/status.h"
#include "common/model/next_item.h"
#include "offline/train/train.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lcf_next_sampling { LCF_NEXT_UNIFORM, LCF_NEXT_LOG_UNIFORM } lcf_next_sampling;

typedef struct lcf_train_next_params {
    uint32_t epochs_max, patience;
    uint32_t batch;     /* users per step */
    uint32_t negatives; /* of sampled softmax, shared by a step */
    lcf_next_loss_kind loss;
    lcf_next_sampling sampling;
    bool rank_seen; /* items of the user's past are candidates, too */
    double learning_rate, weight_decay;
    lcf_precision precision; /* of products of training; targets are ranked in f32 */
} lcf_train_next_params;

#define LCF_TRAIN_NEXT_PARAMS_INIT                                                \
    {                                                                             \
        200, 10, 128, 512, LCF_NEXT_SAMPLED, LCF_NEXT_UNIFORM, false, 1e-3, 1e-5, \
            LCF_PRECISION_F32,                                                    \
    }

typedef struct lcf_train_next_options {
    const char *dataset_dir, *out_dir;
    const char *vectors_dir, *examples_dir, *retrieved_dir; /* where the side module needs them */
    lcf_next_config config; /* items_n and the like follow from the data */
    lcf_train_next_params params;
    uint64_t seeds[LCF_TRAIN_SEEDS_MAX];
    size_t seeds_n;
    size_t threads; /* 0: as many as there are processors */
    bool force;
} lcf_train_next_options;

/*
 * errors   EINVAL a bad option, a dataset without what training needs; EDIVERGED a loss, gradient
 *          or score that is not finite, the epochs before it kept; ECANCELED stopped by a signal,
 *          finished seeds and epochs kept; those of opening the dataset; ENOMEM; EIO
 * memory   *report (may be NULL): what report.json holds and the times; the caller's (json_decref)
 * threads  opens up to options->threads of its own
 */
lcf_status lcf_train_next(json_t **report, bool *current, const lcf_train_next_options *options,
                          lcf_err *err);

#endif
