/*
 * Retrieved examples: those of every sample of a dataset, with the rule that they were found by.
 * `retrieve` writes them, `train` reads them.
 *
 * source   schemas/retrieved.md
 */
#ifndef LCF_COMMON_STORE_RETRIEVED_H
#define LCF_COMMON_STORE_RETRIEVED_H

#include "common/store/examples.h"

#define LCF_RETRIEVED_VERSION 2 /* kind "retrieved" */

typedef struct lcf_retrieved {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    lcf_example_options rule;
    size_t rows_n;
    const uint32_t *ids; /* [rows_n, rule.k] into the examples, LCF_EXAMPLE_NONE where fewer */
    const float *scores; /* [rows_n, rule.k] */
    /* for reuse (retrieved_reuse.h); NULL where there are none */
    const lcf_hash128 *query_hash;   /* [rows_n] */
    const lcf_hash128 *example_hash; /* [examples_n] */
    size_t examples_n;
} lcf_retrieved;

/*
 * errors   as lcf_bundle_open; EVERSION of a version without its rule; EFORMAT; EINVAL of another
 *          number of rows, or an example that is not there
 */
lcf_status lcf_retrieved_open(lcf_retrieved *out, const char *path, size_t rows_n,
                              size_t examples_n, lcf_err *err);
/*
 * The same of the folder that `retrieve` made, of this dataset and, where examples_dir is not NULL,
 * of the examples there; examples_n as above.
 *
 * errors   also EINVAL of another dataset or other examples of the same size, as far as the
 *          folder's manifest says of which
 */
lcf_status lcf_retrieved_open_dir(lcf_retrieved *out, const char *dir, const lcf_dataset *dataset,
                                  const char *examples_dir, size_t examples_n, lcf_err *err);
/* Of whatever dataset and examples; ids are checked against example_hash where that is there. */
lcf_status lcf_retrieved_open_any(lcf_retrieved *out, const char *path, lcf_err *err);
void lcf_retrieved_close(lcf_retrieved *r);
lcf_status lcf_retrieved_save(const char *path, const lcf_retrieved *r, lcf_err *err);

/*
 * What the neighbours' labels alone say: the share of positive labels among a row's k examples,
 * each counted by its similarity where that is above 0. 0.5 where none is.
 */
float lcf_retrieved_vote(const lcf_examples *e, const uint32_t *ids, const float *scores, size_t k);

#endif
