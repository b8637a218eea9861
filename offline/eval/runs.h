/*
 * The step behind `llmcf runs`: the predictions of several runs of one system, each in a folder of
 * its own, as one folder with a column a run, as `llmcf train` writes it for several seeds. So a
 * language model that was tuned five times meets a ranker of five seeds in `compare` and
 * `evaluate`.
 *
 * source   schemas/predictions.md
 */
#ifndef LCF_OFFLINE_EVAL_RUNS_H
#define LCF_OFFLINE_EVAL_RUNS_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_runs_options {
    const char *const *dirs; /* [dirs_n] folders with valid.lcf, test.lcf or both: all the same */
    size_t dirs_n;           /* >= 1 */
    const char *out;
    bool force;
} lcf_runs_options;

/*
 * Runs keep their seeds when no two are equal, and are numbered from 1 otherwise.
 *
 * returns  *stats {"runs", "valid_rows", "test_rows"} (json_decref), *current whether nothing had
 *          to be done
 * errors   ENOENT no folder has predictions, or one lacks a split that another has; EFORMAT runs
 *          about different rows (the folders and the row are named); those of files
 */
lcf_status lcf_runs_step(json_t **stats, bool *current, const lcf_runs_options *options,
                         lcf_err *err);

#endif
