/*
 * Which training rows get a chain of thought, and under which key each is kept.
 *
 * A row is chosen by a hash of its content and the seed, so rows that are added later do not change
 * the choice of the others. Shards part the chosen rows by their keys: every row is in exactly one
 * of them, wherever and in whatever order they are run.
 */
#ifndef LCF_OFFLINE_RECGEN_ROWS_H
#define LCF_OFFLINE_RECGEN_ROWS_H

#include "common/base/hash.h"
#include "common/data/dataset.h"

typedef struct lcf_row_choice {
    double share;    /* of the training rows, in (0, 1] */
    size_t rows_max; /* at most so many of them (those of the lowest hash); 0 = no limit */
    uint64_t seed;
    size_t shard, shards_n; /* this one of so many, from 1; 0 of 0 = all rows */
} lcf_row_choice;

typedef struct lcf_row_source { /* what the key of a record is made of, besides the sample */
    const char *prompt_version, *model_id, *sampling;
} lcf_row_source;

typedef struct lcf_chosen {
    uint64_t hash; /* that chose it */
    size_t sample;
    lcf_hash128 sample_hash, key;
} lcf_chosen;

typedef struct lcf_chosen_rows {
    lcf_chosen *rows; /* in the order of the dataset, until lcf_rows_order */
    size_t n, capacity;
} lcf_chosen_rows;

/* errors: EUSAGE a share or a shard out of range; ENOMEM. memory: lcf_chosen_rows_dispose */
lcf_status lcf_rows_choose(lcf_chosen_rows *out, const lcf_dataset *d, const lcf_row_choice *choice,
                           const lcf_row_source *source, lcf_err *err);
void lcf_chosen_rows_dispose(lcf_chosen_rows *rows);

/* "2/8" as a shard. errors: EUSAGE */
lcf_status lcf_shard_parse(lcf_row_choice *out, const char *text, lcf_err *err);

/* The key of a sample's record. */
lcf_hash128 lcf_cot_key(lcf_hash128 sample, const char *prompt_version, const char *model_id,
                        const char *sampling);

#endif
