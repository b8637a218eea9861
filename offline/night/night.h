/*
 * The nightly run's own books: each step as one line, what the night changed, and the figures that
 * a monitor collects. The steps themselves are verbs, and their order is Makefile.pipeline's.
 *
 *   NIGHT/steps.jsonl   one line a step that ended, however it ended; a step that was killed with
 *                       this program leaves none
 *
 * source   schemas/night.md
 */
#ifndef LCF_OFFLINE_NIGHT_NIGHT_H
#define LCF_OFFLINE_NIGHT_NIGHT_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_night_step {
    const char *night_dir; /* made where missing */
    const char *name;
    const char *artefact_dir; /* what the step makes, or NULL */
    const char *program;      /* this one */
    char **command;           /* [command_n] a verb and its options */
    size_t command_n;
} lcf_night_step;

/*
 * Runs a verb with --json, keeps what it prints to itself, and adds its line to the ledger. A
 * SIGTERM or SIGINT meanwhile is handed to the verb, which ends in its own way.
 *
 * *exit_code is the verb's, or 128 and the signal that killed it.
 *
 * errors   EIO, ENOMEM; a verb that fails is none
 */
lcf_status lcf_night_step_run(int *exit_code, const lcf_night_step *step, lcf_err *err);

typedef struct lcf_night_changes {
    const char *before_dir, *after_dir; /* each with dataset/ and rankers ranker-<arm>/ */
    const char *out_dir;
    bool force;
} lcf_night_changes;

/*
 * Writes changes.json and changes.md: rows, users and items that came and went between two
 * datasets, how far the new rows are distributed as the earlier ones are, and how far the arms'
 * scores of their test splits are.
 *
 * *json receives what changes.json holds (json_decref), *current whether nothing had to be done.
 *
 * errors   those of opening the datasets and predictions; ENOMEM, EIO
 */
lcf_status lcf_night_changes_run(json_t **json, bool *current, const lcf_night_changes *options,
                                 lcf_err *err);

typedef struct lcf_night_end {
    const char *night_dir, *root; /* of the snapshots */
    const char *changes;          /* changes.json, or NULL */
    const char *metrics;          /* file to write, or NULL */
    bool failed;                  /* the graph did not come to its end */
} lcf_night_end;

/*
 * Sums up the ledger: *exit_code is 0, or that of the last step when the graph failed (1 when no
 * step tells), and the metrics appear under their name in one step.
 *
 * errors   EFORMAT a line of the ledger; EIO
 */
lcf_status lcf_night_end_run(int *exit_code, const lcf_night_end *options, lcf_err *err);

#endif
