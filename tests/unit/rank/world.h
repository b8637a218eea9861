/*
 * A world to rank in: dataset, item vectors, examples, CoT store and the weights of both arms, all
 * tiny and random, in one folder; and its snapshot. For the tests of snapshot, rank and server and
 * for the benchmark of rank.
 *
 * Users "u1"..., items "i1"... Everything is a function of the options.
 */
#ifndef LCF_TESTS_UNIT_RANK_WORLD_H
#define LCF_TESTS_UNIT_RANK_WORLD_H

#include "common/base/status.h"
#include "common/snapshot/snapshot.h"

#include <stddef.h>
#include <stdint.h>

typedef struct world_options {
    size_t users_n, items_n, rows_per_user;
    size_t examples_max; /* the first training rows become examples */
    size_t text_dim, cot_dim;
    uint64_t seed;
} world_options;

#define WORLD_OPTIONS_INIT        \
    {                             \
        12, 15, 10, 60, 16, 16, 1 \
    }

/*
 * Writes dataset/, vectors/, examples/, cot/, din.lcf and ict.lcf into `dir`, which exists. Every
 * second example has a CoT record in the store.
 */
lcf_status world_write(const char *dir, const world_options *options, lcf_err *err);

/* Weights of another ranker of this world; `parts` says what it is made of, sizes are filled in. */
lcf_status world_write_arm(const char *dir, const char *name, const lcf_ranker_config *parts,
                           const world_options *options, lcf_err *err);

/* Random knowledge about every second user and item, in knowledge/: published from then on. */
lcf_status world_write_knowledge(const char *dir, const world_options *options, lcf_err *err);

/* Publishes `dir` into dir/snapshots with both arms ("din", "din-ict"; the latter is default). */
lcf_status world_publish(lcf_publish_result *out, const char *dir, const char *generation,
                         lcf_err *err);
/* The same with other arms; the last is default. */
lcf_status world_publish_arms(lcf_publish_result *out, const char *dir, const char *generation,
                              const lcf_snapshot_arm *arms, size_t arms_n, lcf_err *err);

#endif
