/*
 * Fields from the columns of a raw log: vocabularies and buckets are fitted, then every user, item
 * and sample is encoded.
 *
 * Vocabularies and quantiles of users' and items' fields are fitted on all users and items of the
 * log, those of the context on the training samples alone.
 *
 * source   schemas/fields.md section 2
 */
#ifndef LCF_OFFLINE_DATA_FIELDS_MAKE_H
#define LCF_OFFLINE_DATA_FIELDS_MAKE_H

#include "offline/data/fields_spec.h"
#include "offline/data/raw_log.h"
#include "offline/data/samples.h"

typedef struct lcf_fields_input {
    const lcf_fields_spec *spec;
    const lcf_raw_options *raw; /* the log's folder and layout, and whom to tell of bad values */
    const lcf_raw_log *log;     /* ids sorted */
    const lcf_samples *samples;
} lcf_fields_input;

/*
 * *out views into memory that dispose releases; *bad_n counts values that cannot be read, which are
 * told to raw->bad_row and left out.
 *
 * errors   ENOENT users.tsv or a file of vectors; EFORMAT a column is missing, vectors of different
 *          dimensions (file and line); ENOMEM
 */
lcf_status lcf_fields_make(lcf_fields *out, size_t *bad_n, const lcf_fields_input *input,
                           lcf_err *err);
void lcf_fields_dispose(lcf_fields *fields);

#endif
