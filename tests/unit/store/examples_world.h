/*
 * Examples that tests make up, in memory and as folders, and queries about them. Every function
 * fails the test on an error.
 */
#ifndef LCF_TESTS_UNIT_STORE_EXAMPLES_WORLD_H
#define LCF_TESTS_UNIT_STORE_EXAMPLES_WORLD_H

#include "common/store/examples.h"

enum { COT_DIM = 4 };

/* Examples in memory of our own. */
typedef struct world {
    lcf_examples e;
    lcf_hash128 *key, *sample_hash;
    uint32_t *user, *item, *history, *history_n;
    uint8_t *label;
    int64_t *time;
    float *history_vec, *target_vec, *cot_vec;
} world;

/*
 * n examples of `users` users; `distinct` is how many different vectors there are: few give ties
 * without end, and two that differ by a last bit besides.
 */
void world_init(world *w, size_t n, size_t dim, uint32_t users, size_t distinct, uint64_t seed);
void world_dispose(world *w);

/* Writes them to a folder in place of what is there; ... and opens it. */
void world_save(const world *w, const char *dir);
void world_open(lcf_examples *out, const world *w, const char *dir);

/* Queries: the examples' own rows, and strangers with vectors of theirs. free() releases them. */
lcf_example_query *world_queries(const lcf_examples *e, size_t n, uint64_t seed);

/* What was found for a query breaks no rule. */
void world_check_rule(const lcf_examples *e, const lcf_example_query *q, const uint32_t *ids,
                      const lcf_example_options *o);

#endif
