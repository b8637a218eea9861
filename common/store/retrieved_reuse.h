/*
 * What was retrieved before, for what is retrieved now: exactly the same result with less work.
 *
 * A row is told by a hash of what its search depends on, an example by a hash of what it is found
 * by. Where a row was there and none of its examples has gone or changed, its best are among those
 * and the examples that are new: only these are searched. All other rows are searched as ever.
 *
 * Life cycle: open -> search ... -> close; searching is thread-safe. The index must be exact.
 *
 * source   schemas/retrieved.md section "Reuse"
 */
#ifndef LCF_COMMON_STORE_RETRIEVED_REUSE_H
#define LCF_COMMON_STORE_RETRIEVED_REUSE_H

#include "common/store/retrieved.h"

/* Of the query that a row of a dataset is; its sample_hash stands for its user. */
lcf_hash128 lcf_retrieved_query_hash(const lcf_example_query *query, size_t text_dim);
/* Of an example: its place among equals (time, key), its label, its row, its two vectors. */
lcf_hash128 lcf_retrieved_example_hash(const lcf_examples *e, size_t example);

typedef struct lcf_retrieved_reuse lcf_retrieved_reuse;

/*
 * path: a file of lcf_retrieved_save with hashes; example_hash [e->n] of the examples there are
 * now, kept by pointer like `e`.
 *
 * errors   ENOTFOUND nothing of it can be used: no file, no hashes, another rule, or more than half
 * of the examples are new (no message); ENOMEM
 */
lcf_status lcf_retrieved_reuse_open(lcf_retrieved_reuse **out, const char *path,
                                    const lcf_examples *e, const lcf_hash128 *example_hash,
                                    const lcf_example_options *rule, lcf_err *err);
void lcf_retrieved_reuse_close(lcf_retrieved_reuse *r); /* NULL is fine */

/* lcf_examples_search, bit for bit; query_hash [n] are those of the queries. */
lcf_status lcf_retrieved_reuse_search(uint32_t *ids, float *scores, lcf_retrieved_reuse *r,
                                      const lcf_hash128 *query_hash,
                                      const lcf_example_query *queries, size_t n,
                                      const lcf_example_options *rule, lcf_err *err);
/* Rows so far that were searched among all examples. */
size_t lcf_retrieved_reuse_searched(const lcf_retrieved_reuse *r);
/* Examples that are new. */
size_t lcf_retrieved_reuse_new(const lcf_retrieved_reuse *r);

#endif
