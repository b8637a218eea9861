/*
 * One step of phase 1: the losses of a batch, their gradients, one update.
 *
 *   itc   item-text contrast: the largest of the queries' similarities to the text
 *   itm   item-text matching: pairs, and hard negatives drawn by their similarity
 *   itg   item-grounded text generation: the text from the queries
 *   iic   item-item contrast over items that follow each other in a user's history
 *   uic   the same with a user's vector in place of the first item's
 *
 * A contrast needs all features of a batch, a pass only its own rows: shards run the passes on
 * their tapes, one tape runs the contrast over the features as variables, and what it says of them
 * goes back into the shards.
 *
 * source   BLIP-2 (itc, itm, itg), ILM (iic, uic); companions.md section 3
 */
#ifndef LCF_OFFLINE_ILM_PHASE1_STEP_H
#define LCF_OFFLINE_ILM_PHASE1_STEP_H

#include "common/base/pool.h"
#include "common/nn/optim.h"
#include "offline/ilm/phase1_data.h"
#include "offline/ilm/qformer.h"

typedef enum phase1_loss {
    PHASE1_ITC,
    PHASE1_ITM,
    PHASE1_ITG,
    PHASE1_IIC,
    PHASE1_UIC,
    PHASE1_LOSSES_N
} phase1_loss;
extern const char *const PHASE1_LOSS_NAMES[PHASE1_LOSSES_N];

#define PHASE1_BIT(loss) (1u << (loss))
#define PHASE1_TEXT (PHASE1_BIT(PHASE1_ITC) | PHASE1_BIT(PHASE1_ITM) | PHASE1_BIT(PHASE1_ITG))

/* What a step looks at; a list without a loss in `losses` that wants it is not read. At least two
 * of each that is read. */
typedef struct phase1_batch {
    unsigned losses; /* PHASE1_BIT of each */
    const uint32_t *items;
    size_t items_n;
    const phase1_pair *item_pairs, *user_pairs;
    size_t item_pairs_n, user_pairs_n;
} phase1_batch;

typedef struct phase1_step_options {
    size_t batch_max; /* of every list of a batch */
    float smoothing;  /* of the text losses' labels, in training */
    float clip;       /* of the gradient's L2 norm; 0: none */
    lcf_adam_options adam;
    uint64_t seed;
    size_t threads; /* 0: all processors */
} phase1_step_options;

typedef struct phase1_step phase1_step;

lcf_status phase1_step_create(phase1_step **out, lcf_qformer *m, const phase1_data *data,
                              const phase1_step_options *options, lcf_err *err);
void phase1_step_free(phase1_step *s);
lcf_adam *phase1_step_adam(phase1_step *s);
/* Its threads, for what else is to be done between steps. */
lcf_pool *phase1_step_pool(phase1_step *s);

/*
 * One update; losses [PHASE1_LOSSES_N], those that the batch asks for are set.
 *
 * errors   EDIVERGED a loss is not finite, nothing is updated; ENOMEM
 * threads  shards run on the threads of the options; the result does not depend on how many
 */
lcf_status phase1_step_train(double *losses, phase1_step *s, const phase1_batch *batch,
                             float learning_rate);
/* The same losses without dropout, smoothing and update; `draw` numbers the negatives' draw. */
lcf_status phase1_step_measure(double *losses, phase1_step *s, const phase1_batch *batch,
                               uint64_t draw);
/* The gradients that the last step added up, before clipping: for tests. */
const lcf_grads *phase1_step_grads(const phase1_step *s);

#endif
