/*
 * What the side module of a next-item model reads: item vectors, examples, and the examples of
 * every sample, found by the history alone (a target that is to be guessed must not choose them).
 */
#ifndef LCF_OFFLINE_TRAIN_NEXT_SIDE_H
#define LCF_OFFLINE_TRAIN_NEXT_SIDE_H

#include "common/model/next_item.h"
#include "common/store/retrieved.h"

typedef struct next_side {
    lcf_embeddings vectors;
    lcf_examples examples;
    lcf_retrieved retrieved;
    lcf_ranker_source source;
} next_side;

/*
 * Opens what config->side needs of the folders, which may be NULL otherwise, and completes it.
 *
 * errors   EINVAL what does not fit the dataset, or examples that were not found by the history;
 *          those of opening
 */
lcf_status next_side_open(next_side *s, lcf_ranker_config *config, const lcf_dataset *d,
                          const char *vectors_dir, const char *examples_dir,
                          const char *retrieved_dir, lcf_err *err);
void next_side_close(next_side *s);

/* A sample as a row whose target is not known. */
lcf_ranker_row next_side_row(const next_side *s, const lcf_dataset *d, size_t sample);

#endif
