/*
 * Samples from a raw log: each user's interactions in order, what stands in histories, labels,
 * negatives and splits.
 *
 * Invariant: what a sample's history holds comes strictly before the sample in its user's order
 * (time, then position in the file).
 *
 * source   llm-cf.md section 1 (protocol amazon-1neg); schemas/dataset.md
 */
#ifndef LCF_OFFLINE_DATA_SAMPLES_H
#define LCF_OFFLINE_DATA_SAMPLES_H

#include "common/base/status.h"
#include "common/data/dataset.h"
#include "offline/data/raw_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lcf_split_rule {
    LCF_SPLIT_AUTO = 0,       /* COLUMN where there is one, else TIME with ratings, else
                                 LEAVE_LAST */
    LCF_SPLIT_TIME = 1,       /* the last shares of all samples by time */
    LCF_SPLIT_LEAVE_LAST = 2, /* of each user the last to test, the last but one to valid */
    LCF_SPLIT_COLUMN = 3,     /* as the log says, row by row */
} lcf_split_rule;

typedef struct lcf_sample_options {
    lcf_split_rule split; /* not AUTO */
    bool history_liked;   /* only events with a rating >= like stand in histories */
    double like;          /* a rating of at least this is label 1 */
    double valid_share, test_share;
    uint64_t seed;        /* of the sampled negatives */
    uint32_t history_min; /* events with a shorter history behind them are no samples */
} lcf_sample_options;

/* The arrays of lcf_dataset that belong to events and samples, owned. */
typedef struct lcf_samples {
    uint64_t *user_offsets;
    uint32_t *event_item;
    int64_t *event_time;
    float *event_rating;
    size_t events_n;
    size_t samples_n, split_begin[4], positives_n[3];
    uint32_t *sample_user, *sample_item;
    uint8_t *sample_label;
    int64_t *sample_time;
    uint64_t *sample_history_end;
    uint32_t *sample_row;      /* of the log; a sampled negative has its positive's */
    size_t without_negative_n; /* positives of users who touched every item */
} lcf_samples;

/*
 * errors   EINVAL no interaction, no training sample, liked histories without ratings, or the split
 *          of a column that the log lacks; ENOMEM
 * order    a negative depends on the seed, on its positive's user, item and time, and, for a few, on
 * the user's other rows and the number of items: a log and a list that grow at their ends keep the
 * samples that were there, but about one negative in n per item that is added to n
 */
lcf_status lcf_samples_make(lcf_samples *out, const lcf_raw_log *log,
                            const lcf_sample_options *options, lcf_err *err);
void lcf_samples_dispose(lcf_samples *s);

#endif
