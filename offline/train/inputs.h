/* What training reads: the dataset, what the side module needs, and the rows made of them. */
#ifndef LCF_OFFLINE_TRAIN_INPUTS_H
#define LCF_OFFLINE_TRAIN_INPUTS_H

#include "common/model/ranker.h"
#include "offline/train/side_inputs.h"
#include "offline/train/train.h"

typedef struct train_inputs {
    lcf_dataset dataset;
    lcf_dataset before;   /* of a warm start */
    const char *init_dir; /* NULL: from scratch */
    side_inputs side;
    uint8_t *event_labels;             /* [dataset.events_n], where they are read */
    float *labels;                     /* [rows of train] what is learned: see distill */
    float *weights;                    /* [rows of train]; NULL: all 1 */
    uint32_t *liked_user, *liked_item; /* [liked_n] pairs of the training rows of label 1, where the
                                          backbone takes a graph */
    size_t liked_n;
    lcf_ranker_config config; /* sizes that follow from the data; the rest as published */
} train_inputs;

/* The row of sample `idx`; made when it is asked for, so that a split takes no memory for its rows.
 */
lcf_ranker_row train_inputs_row(const train_inputs *in, size_t idx);

/* The folders of options->side. */
side_dirs train_side_dirs(const lcf_train_options *options);

/* errors: those of opening; EINVAL what does not fit together, or a split without both labels */
lcf_status train_inputs_open(train_inputs *in, const lcf_train_options *options, lcf_err *err);
void train_inputs_close(train_inputs *in);

#endif
