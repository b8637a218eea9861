/*
 * sweep: `llmcf train` at many points of a space, a few processes at a time.
 *
 * Works in a folder that grows: OUT/points/<id>.json is a finished point (its parameters and its
 * train report), <id>.log what its process said, <id>/ its rankers where they are kept. The id is a
 * hash of the parameters and of the artefacts that they name, so that a sweep that was stopped,
 * killed or widened trains only what is not there, and one whose dataset changed trains anew.
 * OUT/results.csv has one line per point, the best valid AUC first, points that failed last; it is
 * written again after every point. The test split has no column: nothing shall be chosen by it.
 *
 * source   schemas/sweep.md
 */
#ifndef LCF_OFFLINE_TRAIN_SWEEP_H
#define LCF_OFFLINE_TRAIN_SWEEP_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_SWEEP_JOBS_MAX 256

typedef struct lcf_sweep_options {
    const char *space_path, *out_dir;
    const char *program; /* llmcf itself, executed as `program train ...` */
    size_t points;       /* random search of so many; 0: the whole grid */
    uint64_t seed;       /* of random search */
    size_t jobs;         /* processes at a time */
    bool keep;           /* the rankers of finished points */
} lcf_sweep_options;

/*
 * Trains what is missing and writes results.csv.
 *
 * errors   those of the space; EBUSY another sweep works in the folder; EINVAL every point failed
 * (the first one's error is named); ECANCELED stopped by a signal, which the processes were told;
 * EIO, ENOMEM memory   *results (may be NULL): an array of objects in the order of results.csv; the
 * caller's
 */
lcf_status lcf_sweep(json_t **results, const lcf_sweep_options *options, lcf_err *err);

#endif
