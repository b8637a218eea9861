/*
 * The arm step: several runs of one system -> one arm with a seed for each, as an artefact folder
 * (valid.lcf, test.lcf: those that the runs have; manifest.json). A language model that was tuned
 * with five seeds and judged five times becomes what `train --seeds` writes by itself, so that its
 * intervals hold the spread over seeds.
 *
 * Seeds are numbered from 1 in the order of the runs. `rows_of` makes arms that can be compared of
 * systems of which some were asked about fewer rows.
 *
 * source   schemas/predictions.md
 */
#ifndef LCF_OFFLINE_EVAL_ARM_RUNS_H
#define LCF_OFFLINE_EVAL_ARM_RUNS_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_arm_options {
    const char *const *runs; /* [runs_n] folders with predictions */
    size_t runs_n;
    const char *out;
    const char
        *rows_of; /* NULL: all rows; else those that the predictions of this folder are about */
    bool force;
} lcf_arm_options;

/*
 * *seeds_n receives the arm's seeds, *current whether nothing had to be done.
 *
 * errors   EINVAL a run is about other rows than the first one (file and row named), or about a
 *          split that the first one lacks, or lacks one; the runs lack a row of rows_of; EUSAGE
 * `out` is a run, or holds one; ENOENT the first run has no predictions; those of the files
 */
lcf_status lcf_arm_step(size_t *seeds_n, bool *current, const lcf_arm_options *options,
                        lcf_err *err);

#endif
