/*
 * train: rankers of one kind, one per seed, with early stopping on valid AUC.
 *
 * Makes an artefact folder: seed-<s>.lcf (weights, schemas/ranker_weights.md) for every seed,
 * best.lcf (the seed of the highest valid AUC), valid.lcf and test.lcf (predictions of every seed,
 * schemas/predictions.md), report.json, manifest.json. While it runs, finished seeds are kept in
 * OUT.partial, and so is each seed between two epochs: a stopped or killed run goes on from there
 * and ends with the same bytes.
 *
 * Same inputs, options and seeds give the same bytes, at any number of threads: a batch is cut into
 * the same shards whoever computes them (step.h), and nothing that is timed enters the artefact's
 * identity.
 */
#ifndef LCF_OFFLINE_TRAIN_TRAIN_H
#define LCF_OFFLINE_TRAIN_TRAIN_H

#include "common/base/manifest.h"
#include "common/base/status.h"
#include "common/math/product.h"
#include "common/model/ranker.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_TRAIN_SEEDS_MAX 64
#define LCF_TRAIN_EPOCHS_MAX 1000

/* How one seed is trained. */
typedef struct lcf_train_params {
    uint32_t epochs_max, batch;
    uint32_t patience; /* epochs without a better valid AUC before training stops */
    double learning_rate, weight_decay; /* of Adam; L2 in the gradient, as published */
    double side_learning_rate;          /* of the side module's own parameters; 0: as all others */
    double ema; /* decay of an average of the weights over the steps, which is judged and kept in
                   place of the last ones; 0: none */
    double dropout;    /* of the head */
    double rec_weight; /* alpha of the reconstruction loss */
    double plateau;    /* the learning rate is multiplied by it after an epoch that was not the best
                          so far; 1: never */
    uint32_t dim;      /* of fields and tokens */
    uint32_t graph_layers_n; /* of LightGCN's convolution */
    double code_scale;       /* of binmf and binlightgcn: see lcf_ranker_config */
    uint32_t soft_epochs; /* in which the share of a code's elements that are hard grows from 0 to
                             1; 0: hard from the first */
    double clip;          /* gradients are scaled down to this norm; 0: never */
    lcf_precision precision; /* of products: see lcf_tape_set_precision; weights, sums and scores
                                stay in f32 */
    bool decoupled;          /* weight decay beside the gradient (AdamW) instead of in it */
    bool sparse_tables; /* rows of tables that a batch did not look up stay as they are, without
                           decay and without their moments' decay; false: torch.optim.Adam's bits */
} lcf_train_params;

#define LCF_TRAIN_PARAMS_INIT                                                    \
    {                                                                            \
        .epochs_max = 30, .batch = 256, .patience = 2, .learning_rate = 3e-3,    \
        .weight_decay = 1e-4, .dropout = 0.1, .rec_weight = 1.0, .plateau = 1.0, \
        .code_scale = 0.1, .dim = 32, .graph_layers_n = 2                        \
    }

/* The learning rate and the weight decay, where they are NaN, become those that did best for the
 * backbone. */
void lcf_train_params_settle(lcf_train_params *p, const char *backbone);

typedef struct lcf_train_options {
    const char *dataset_dir;
    const char *vectors_dir, *examples_dir, *retrieved_dir; /* where the side module needs them */
    const char *knowledge_dir;                              /* likewise */
    /* A warm start: an earlier artefact, and the dataset that it was trained on; NULL: from scratch
     */
    const char *init_dir, *init_dataset_dir;
    const char *judged_dir; /* of a language model that is distilled into the ranker, or NULL */
    double distill_weight;  /* of the loss against its answers */
    const char *out_dir;
    const char *backbone, *side; /* names of common/model/ranker.h */
    lcf_example_order order;     /* of a row's examples, where the side module reads them */
    bool history_labels;         /* histories say which items were liked */
    bool head_norm;              /* batch normalisation in the head */
    lcf_train_params params;
    uint64_t seeds[LCF_TRAIN_SEEDS_MAX];
    size_t seeds_n;
    size_t threads; /* 0: as many as there are processors */
    bool force;     /* also when the artefact is up to date */
} lcf_train_options;

/*
 * Trains what is missing and writes the artefact.
 *
 * errors   EINVAL a bad option, inputs that do not fit each other, a split without rows of both
 *          labels; EDIVERGED a loss or gradient that is not finite (seed, epoch and step named),
 *          epochs before it kept; ECANCELED stopped by a signal, finished seeds kept; those of
 *          opening the inputs; ENOMEM; EIO
 * memory   *report (may be NULL): what report.json holds and the times; the caller's (json_decref)
 * threads  opens up to options->threads of its own
 */
lcf_status lcf_train(json_t **report, bool *current, const lcf_train_options *options,
                     lcf_err *err);

/* errors: EINVAL no seed, or more than LCF_TRAIN_SEEDS_MAX; EUSAGE one is given twice */
lcf_status lcf_train_check_seeds(const uint64_t *seeds, size_t seeds_n, lcf_err *err);
/* The seeds of a step as a parameter of its manifest. errors: ENOMEM */
lcf_status lcf_train_describe_seeds(lcf_manifest *m, const uint64_t *seeds, size_t seeds_n,
                                    lcf_err *err);

#endif
