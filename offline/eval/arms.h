/*
 * The step behind `llmcf compare`: several rankers against one baseline, data set by data set, as
 * one table.
 *
 * Every ranker is compared with its section's baseline as `llmcf evaluate` does it: the same rows,
 * a paired bootstrap clustered by user, the same replicates for all. As many rankers are as many
 * looks, p-values are corrected by Holm's method within a section and a measure.
 *
 * source   schemas/compare.md
 */
#ifndef LCF_OFFLINE_EVAL_ARMS_H
#define LCF_OFFLINE_EVAL_ARMS_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_COMPARE_VERSION 1

typedef struct lcf_arms_section {
    const char *name;        /* what people call the data, e.g. "amazon-beauty" */
    const char *const *dirs; /* [dirs_n] folders with <split>.lcf, the baseline first */
    size_t dirs_n;           /* >= 2 */
} lcf_arms_section;

typedef struct lcf_arms_options {
    const lcf_arms_section *sections;
    size_t sections_n;
    const char *out_dir, *split;
    size_t replicates_n;
    uint64_t seed;
    bool seeds_fixed;
    size_t threads; /* 0: all processors */
    bool force;
} lcf_arms_options;

#define LCF_ARMS_OPTIONS_INIT                           \
    {                                                   \
        NULL, 0, NULL, "test", 2000, 1, false, 0, false \
    }

/*
 * Writes compare.json, compare.md, compare.csv, compare.html and manifest.json. A comparison of the
 * same inputs and options that is there already is read instead of made again.
 *
 * returns  *out the comparison as JSON; *current (may be NULL) true when nothing was made
 * errors   EFORMAT rankers that cannot be compared (the folders and the row are named), damaged
 *          predictions or reports; ENOENT, EIO, ENOMEM; ECANCELED
 * memory   the caller owns *out (json_decref)
 */
lcf_status lcf_arms_compare(json_t **out, bool *current, const lcf_arms_options *options,
                            lcf_err *err);

#endif
