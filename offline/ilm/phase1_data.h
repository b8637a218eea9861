/*
 * What phase 1 trains a Q-Former on: items with a vector and a text, and pairs of entities whose
 * vectors should meet, each parted into training, validation and test.
 *
 * Items are parted by a hash of their ids, users likewise, a tenth each for validation and test; a
 * pair goes by its user. An item that no training row of the dataset names was never trained by the
 * ranker: its vector is chance, so that it takes part in nothing, and is counted.
 *
 * Invariant: pairs come from the training split alone: from the histories of its rows, and from its
 * rows of label 1.
 */
#ifndef LCF_OFFLINE_ILM_PHASE1_DATA_H
#define LCF_OFFLINE_ILM_PHASE1_DATA_H

#include "offline/ilm/item_texts.h"
#include "offline/ilm/qformer.h"
#include "offline/ilm/vectors.h"

typedef struct phase1_pair {
    uint32_t a, b; /* entities (vectors.h); b an item */
} phase1_pair;

typedef struct phase1_pairs {
    phase1_pair *list;
    size_t n, capacity;
} phase1_pairs;

typedef struct phase1_items {
    uint32_t *list;
    size_t n, capacity;
} phase1_items;

typedef struct phase1_data {
    const lcf_catalogue *catalogue;
    const lcf_cf_vectors *vectors;
    lcf_item_texts texts;
    phase1_items known;    /* all items with a trained vector, ascending */
    phase1_items items[3]; /* of each split: known, with a text */
    phase1_pairs item_pairs[3], user_pairs[3];
    size_t untrained_n, textless_n; /* items left out, of those that have an id */
} phase1_data;

/* The part of an item or user of that id. */
lcf_split phase1_split_of(lcf_str id);

/*
 * Items and pairs; the texts come later (phase1_data_texts), for a tokenizer may be learned from
 * the items found here.
 *
 * memory   keeps views of dataset and vectors; phase1_data_dispose, also after a failure
 * errors   EINVAL no item has a trained vector; ENOMEM
 */
lcf_status phase1_data_create(phase1_data *out, const lcf_dataset *d, const lcf_cf_vectors *vectors,
                              lcf_err *err);
/* Also parts the items. errors: EINVAL no item of a split has both; as lcf_item_texts_create */
lcf_status phase1_data_texts(phase1_data *data, const lcf_tokenizer *tokenizer, size_t tokens_max,
                             lcf_err *err);
void phase1_data_dispose(phase1_data *data);

/* ---- as inputs of a Q-Former, in the memory of a tape; NULL when that is out ---- */

/* shapes: [n, dim] */
const float *phase1_vectors_of(lcf_tape *t, const phase1_data *data, const uint32_t *entities,
                               size_t n);
/* Texts of items behind a mark, with END behind them when `ended`; vocab: the Q-Former's. */
const lcf_qformer_texts *phase1_texts_of(lcf_tape *t, const phase1_data *data, uint32_t vocab,
                                         const uint32_t *items, size_t n, lcf_qformer_mark mark,
                                         bool ended);

#endif
