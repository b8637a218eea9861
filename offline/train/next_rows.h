/*
 * What training a next-item model reads: one sequence per user with a question at every training
 * positive, and one history per positive of the valid and test split.
 *
 * A user's sequence is the last history_max events before the last training positive; positives
 * whose history lies before that are left out, as the published models do.
 *
 * Invariant: no question sees an event of its own time or later (the dataset's histories), and no
 * event of the valid or test split stands in a training sequence.
 */
#ifndef LCF_OFFLINE_TRAIN_NEXT_ROWS_H
#define LCF_OFFLINE_TRAIN_NEXT_ROWS_H

#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/model/next_item.h"

typedef struct next_question {
    uint64_t end;    /* events before this one are seen */
    uint32_t target; /* item */
    uint32_t sample; /* of the dataset */
} next_question;

typedef struct next_sequence {
    uint64_t begin, end; /* events of the dataset */
    size_t first;        /* into questions, up to the next sequence's; by falling age */
} next_sequence;

typedef struct next_rows {
    lcf_dataset dataset;
    size_t sequences_n, questions_n;
    next_sequence *sequences; /* [sequences_n + 1] */
    next_question *questions; /* [questions_n] */
    size_t longest;           /* questions of one sequence at most */
    uint32_t *item_count;     /* [items_n] training questions with this target */
    size_t rows_n[3];         /* positives of valid and test; [LCF_TRAIN] is 0 */
    uint32_t *rows[3];        /* [rows_n] samples of the dataset, ascending */
} next_rows;

/* errors: those of opening a dataset; EINVAL a split without positives, or training without one
 * that has a history; ENOMEM */
lcf_status next_rows_open(next_rows *out, const char *dataset_dir, uint32_t history_max,
                          lcf_err *err);
void next_rows_close(next_rows *r);

/* The history of a sample: all events of its user before it, of which a model takes the last. */
lcf_next_history next_rows_history(const next_rows *r, uint32_t sample);

#endif
