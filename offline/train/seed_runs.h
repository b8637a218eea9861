/*
 * An artefact of several seeds, made in parallel and kept as they finish: what all training verbs
 * do alike. OUT.partial holds finished seeds of the same inputs and options (its manifest says
 * which); a stopped or killed run goes on with those that are missing. OUT appears whole once all
 * are there.
 *
 * A training step fills a seed_runs with its own functions and calls seed_runs_make.
 */
#ifndef LCF_OFFLINE_TRAIN_SEED_RUNS_H
#define LCF_OFFLINE_TRAIN_SEED_RUNS_H

#include "common/base/manifest.h"
#include "common/base/status.h"
#include "offline/train/seed_progress.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct seed_runs {
    const char *verb, *out_dir;
    const uint64_t *seeds; /* [seeds_n] */
    size_t seeds_n;
    size_t threads; /* 0: as many as there are processors */
    bool force;
    uint32_t epochs_max, patience; /* of a seed, for the progress line */
    void *arg;                     /* of all that follows */
    /* Parameters and inputs, all but the seeds. */
    lcf_status (*describe)(lcf_manifest *m, void *arg, lcf_err *err);
    /* Opens the inputs and says how many rows an epoch has; once, before any of what follows. The
     * caller closes them. */
    lcf_status (*open)(uint64_t *epoch_rows, void *arg, lcf_err *err);
    /* Reads finished seed `idx` from dir. errors: ENOENT it is not there; others: it cannot be
     * used and is trained again */
    lcf_status (*load)(void *arg, size_t idx, const char *dir, lcf_err *err);
    /* Trains seed `idx` on up to so many threads and leaves it in dir; several at a time. */
    lcf_status (*train)(void *arg, size_t idx, size_t threads, const char *dir,
                        seed_progress *progress, lcf_err *err);
    /* What seed `idx` is worth on the valid split; the first with the highest becomes best.lcf. */
    double (*worth)(void *arg, size_t idx);
    /* Seed `idx` as an element of the report's `seeds`; times are for people and never part of the
     * artefact's identity. NULL: no memory */
    json_t *(*seed_report)(void *arg, size_t idx, bool with_times);
    /* All of the report but `seeds` and `best_seed`. NULL: no memory */
    json_t *(*report)(void *arg);
    /* Further files of the artefact. */
    lcf_status (*write)(void *arg, const char *dir, lcf_err *err);
} seed_runs;

/*
 * Trains what is missing and writes seed-<s>.lcf, best.lcf, report.json, manifest.json and what
 * `write` adds; nothing when OUT is up to date.
 *
 * memory   report and current may be NULL; *report: the caller's (json_decref), NULL on failure
 */
lcf_status seed_runs_make(json_t **report, bool *current, const seed_runs *runs, lcf_err *err);

/* Mean and sample standard deviation over n seeds as {"mean", "sd"}, sd null for one. New, or NULL.
 */
json_t *seed_runs_spread(const double *values, size_t n);

/* "dir/seed-<s><suffix>", or NULL when out of memory; free() releases it. */
char *seed_runs_path(const char *dir, uint64_t seed, const char *suffix);

#endif
