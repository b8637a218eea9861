/*
 * One step of training: a batch forward and backward, the sum of its gradients, an update.
 *
 * A batch is always cut into the same shards, whatever the number of threads: each shard has a tape
 * and gradients of its own, and these are summed in the order of the shards. So the bits depend on
 * the batch alone. Two shards cost one thread 3 % of its speed, four 8 % (rows that look up the
 * same item in two shards compute it twice); more threads than that serve other seeds.
 */
#ifndef LCF_OFFLINE_TRAIN_STEP_H
#define LCF_OFFLINE_TRAIN_STEP_H

#include "common/model/ranker.h"
#include "common/nn/optim.h"

#define TRAIN_SHARDS 2

typedef struct train_step_options {
    lcf_adam_options adam;
    float side_weight;       /* of the side module's loss */
    float clip;              /* the norm that gradients are scaled down to; 0: never */
    uint64_t seed;           /* of dropout */
    float ema;               /* decay of the weights' average; 0: none is kept */
    lcf_precision precision; /* of products */
    size_t threads;          /* at least 1 */
} train_step_options;

typedef struct train_step train_step;

/* `ranker` and `source` are borrowed; the source has passed lcf_ranker_check_source. */
lcf_status train_step_create(train_step **out, lcf_ranker *ranker, const lcf_ranker_source *source,
                             const train_step_options *options, lcf_err *err);
void train_step_free(train_step *s);
/* The optimizer's state, for checkpoints; its step counts the updates. */
lcf_adam *train_step_adam(train_step *s);
/* The average of the weights over the steps [values_n], the step's; NULL without one. */
float *train_step_average(train_step *s);

/*
 * One update from n >= 1 rows.
 *
 * shapes   labels [n] in [0, 1]; weights [n] of the rows' losses, NULL: all 1; *loss: sum of
 *          weighted BCE over n, plus the weighted side loss; *side_loss: that of the side module,
 *          NaN where there is none
 * errors   EDIVERGED the loss, or where that is finite the gradient's norm, is not; nothing is
 *          updated; ENOMEM
 * threads  shards run on the threads of the options; the result does not depend on how many
 */
lcf_status train_step_run(double *loss, double *side_loss, train_step *s,
                          const lcf_ranker_row *rows, const float *labels, const float *weights,
                          size_t n, float learning_rate);

#endif
