/*
 * What a dataset knows about the items of a comparison's rows: which item, how often it was in
 * training, and its text's vector. Measures of lists need it.
 */
#ifndef LCF_OFFLINE_EVAL_ITEM_FACTS_H
#define LCF_OFFLINE_EVAL_ITEM_FACTS_H

#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "offline/eval/table.h"

typedef struct lcf_item_facts {
    uint32_t *counts; /* [items_n] training samples */
    lcf_embeddings vectors;
} lcf_item_facts;

/*
 * Fills t->items; the facts must outlive their use.
 *
 * shapes   vectors_dir: with items.lcf of `llmcf encode`, or NULL
 * errors   EFORMAT a row is not of the dataset, or the vectors are of another number of items;
 * those of lcf_embeddings_open; ENOMEM memory   dispose releases, also after a failure
 */
lcf_status lcf_item_facts_init(lcf_item_facts *out, lcf_eval_table *t, const lcf_dataset *d,
                               const char *vectors_dir, lcf_err *err);
void lcf_item_facts_dispose(lcf_item_facts *facts);

#endif
