/*
 * prepare: a raw log and its item list into a dataset folder.
 *
 * source   schemas/dataset.md; llm-cf.md section 1
 */
#ifndef LCF_OFFLINE_DATA_PREPARE_H
#define LCF_OFFLINE_DATA_PREPARE_H

#include "common/base/status.h"
#include "offline/data/raw_log.h"
#include "offline/data/samples.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lcf_prepare_options {
    const char *input_dir, *out_dir;
    lcf_raw_format format;
    lcf_sample_options samples; /* split may be AUTO */
    const char *fields;         /* a YAML schema of further fields; NULL: none */
    uint64_t bad_rows_max;
    lcf_bad_row bad_row; /* called for each row left out; may be NULL */
    void *bad_row_arg;
    bool force; /* also when the dataset is up to date */
} lcf_prepare_options;

#define LCF_PREPARE_OPTIONS_INIT                                                                  \
    {                                                                                             \
        NULL, NULL, LCF_RAW_AUTO, {LCF_SPLIT_AUTO, false, 4.0, 0.1, 0.1, 2023, 1}, NULL, 0, NULL, \
            NULL, false                                                                           \
    }

/*
 * Writes out_dir (replaced in one step). *stats receives the counts (json_decref), *current whether
 * the dataset was up to date and nothing was done; both may be NULL.
 *
 * errors   those of lcf_raw_detect, lcf_raw_read, lcf_samples_make and lcf_fields_make; ELIMIT more
 * bad rows than allowed; EIO, ENOSPC. Nothing is written then.
 */
lcf_status lcf_prepare(json_t **stats, bool *current, const lcf_prepare_options *options,
                       lcf_err *err);

#endif
