/*
 * Retrieval by codes: the rule of examples.h with the bits in which codes agree in place of inner
 * products of text vectors.
 *
 * score(query, example) = 0.5 s(user, user') + 0.5 s(item, item'), s of two codes of b bits that
 * differ in h being 1 - 2 h / b: the cosine of the codes as vectors of 1 and -1. Of the unknown
 * nothing is said, s = 0. Scores are of few values: equal ones go by the later example, which is
 * the opposite of the rule's order for vectors.
 *
 * source   BinLLM (arXiv 2406.03210) for the codes; schemas/examples.md
 */
#ifndef LCF_COMMON_STORE_EXAMPLES_CODES_H
#define LCF_COMMON_STORE_EXAMPLES_CODES_H

#include "common/data/codes.h"
#include "common/store/examples.h"

typedef struct lcf_example_codes {
    const lcf_examples *examples;
    const lcf_codes *codes;
    uint8_t *users, *items; /* [examples->n, codes->bytes] */
} lcf_example_codes;

/*
 * The codes of all examples, laid out for search. `e` and `codes` are borrowed.
 *
 * errors   EINVAL an example of a user or an item that has no code; ENOMEM
 */
lcf_status lcf_example_codes_init(lcf_example_codes *out, const lcf_examples *e,
                                  const lcf_codes *codes, lcf_err *err);
void lcf_example_codes_dispose(lcf_example_codes *c);

/*
 * The examples of n queries, the i-th about items[i]; of a query the user, time and sample_hash
 * count alone.
 *
 * shapes   items [n]; ids [n, k], scores [n, k] as lcf_examples_search's
 * errors   EINVAL k out of range, or a user or item without a code; ENOMEM
 * threads  safe
 */
lcf_status lcf_example_codes_search(uint32_t *ids, float *scores, const lcf_example_codes *c,
                                    const lcf_example_query *queries, const uint32_t *items,
                                    size_t n, const lcf_example_options *options, lcf_err *err);

#endif
