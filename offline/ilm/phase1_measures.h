/*
 * What a Q-Former of phase 1 can do with items whose texts it was not trained on: find the text of
 * an item and the item of a text, write the text, and keep items together that collaborative
 * filtering has together.
 */
#ifndef LCF_OFFLINE_ILM_PHASE1_MEASURES_H
#define LCF_OFFLINE_ILM_PHASE1_MEASURES_H

#include "offline/ilm/phase1_step.h"

#define PHASE1_NEIGHBOURS 10
#define PHASE1_ANCHORS_MAX 256 /* items whose neighbours are compared, */
#define PHASE1_AMONG_MAX 4096  /* among so many, both evenly spaced over the trained ones */

/* All doubles, as checkpoints keep them. */
typedef struct phase1_measures {
    /* Per pair, nats; itg per token. NaN where there are no pairs, or it was not asked for. */
    double losses[PHASE1_LOSSES_N];
    double item_to_text_1, item_to_text_10; /* recall among the part's items */
    double text_to_item_1, text_to_item_10;
    double neighbours; /* share of an item's nearest by vector that are so by queries */
} phase1_measures;

/*
 * Measures of a part of the data. matching: itm, too, which costs more than all the others.
 *
 * errors   ENOMEM
 * threads  those of the step; the result does not depend on how many
 */
lcf_status phase1_measure(phase1_measures *out, phase1_step *step, const lcf_qformer *m,
                          const phase1_data *data, lcf_split part, bool matching, size_t batch_max,
                          lcf_err *err);

#endif
