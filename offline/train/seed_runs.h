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
    void *arg; /* of all that follows */
    /* Parameters and inputs, all but the seeds. */
    lcf_status (*describe)(lcf_manifest *m, void *arg, lcf_err *err);
    /* Opens the inputs; once, before any of what follows. The caller closes them. */
    lcf_status (*open)(void *arg, lcf_err *err);
    /* Reads finished seed `idx` from dir. errors: ENOENT it is not there; others: it cannot be
     * used and is trained again */
    lcf_status (*load)(void *arg, size_t idx, const char *dir, lcf_err *err);
    /* Told once, with the seeds that are to be trained, where there are any. */
    void (*start)(void *arg, const size_t *missing, size_t missing_n);
    /* Trains seed `idx` on up to so many threads and leaves it in dir; several at a time. */
    lcf_status (*train)(void *arg, size_t idx, size_t threads, const char *dir, lcf_err *err);
    /* The report; times are for people and never part of the artefact's identity. NULL: no memory
     */
    json_t *(*report)(void *arg, bool with_times);
    /* The index of the seed that becomes best.lcf. */
    size_t (*best)(void *arg);
    /* Further files of the artefact. */
    lcf_status (*write)(void *arg, const char *dir, lcf_err *err);
} seed_runs;

/*
 * Trains what is missing and writes seed-<s>.lcf, best.lcf, report.json, manifest.json and what
 * `write` adds; nothing when OUT is up to date.
 *
 * memory   *report: the caller's (json_decref), NULL on failure
 */
lcf_status seed_runs_make(json_t **report, bool *current, const seed_runs *runs, lcf_err *err);

/* "dir/seed-<s><suffix>", or NULL when out of memory; free() releases it. */
char *seed_runs_path(const char *dir, uint64_t seed, const char *suffix);

#endif
