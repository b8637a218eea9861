/*
 * The steps between generation and training: encode (texts to vectors), index (records and rows to
 * examples), retrieve (examples for every row). Each makes one artefact folder, in one step, and
 * does nothing when the folder was made in just this way.
 *
 * The CoT store is an input by its records (lcf_cot_store_digest), not by its file, whose bytes
 * depend on the order of writing.
 *
 * source   schemas/embeddings.md, schemas/examples.md, schemas/retrieved.md; llm-cf.md section 4
 */
#ifndef LCF_OFFLINE_ENCODE_STEPS_H
#define LCF_OFFLINE_ENCODE_STEPS_H

#include "common/base/status.h"
#include "common/store/examples.h"
#include "offline/encode/encoder.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lcf_encode_options {
    const char *dataset_dir, *cot_dir, *out_dir; /* cot_dir NULL: item texts only */
    const char *encoder; /* a text encoder (GGUF); NULL: a lexical one is fitted */
    lcf_lexical_options lexical;
    size_t threads; /* 0 = as many as there are processors */
    bool force;
    bool reuse; /* keep the encoder that is there, and the vectors of records that it made */
} lcf_encode_options;
#define LCF_ENCODE_OPTIONS_INIT                                           \
    {                                                                     \
        NULL, NULL, NULL, NULL, LCF_LEXICAL_OPTIONS_INIT, 0, false, false \
    }

/*
 * Fits the encoder on the texts of all items and all records that were not rejected, or takes the
 * one that was named, and writes encoder.lcf (a copy of a GGUF that was named), items.lcf (row 0
 * zeros) and, with a store, cots.lcf.
 *
 * With `reuse`, an encoder that was fitted with these options on earlier texts stays, so that
 * vectors of different nights are comparable, and only new records are encoded: a record's key is
 * that of its content.
 *
 * *stats receives the counts (json_decref), *current whether nothing had to be done.
 *
 * errors   those of opening the inputs; EINVAL no text at all; ENOSPC, EIO
 */
lcf_status lcf_encode_run(json_t **stats, bool *current, const lcf_encode_options *options,
                          lcf_err *err);

typedef struct lcf_index_options {
    const char *dataset_dir, *cot_dir, *vectors_dir, *out_dir;
    lcf_faiss_kind kind; /* of the indices */
    bool force;
    bool reuse; /* grow the indices that are there; see lcf_examples_save_kind */
} lcf_index_options;

/*
 * Joins the records of the store with the training rows they explain, and writes the examples,
 * ordered by time, then key. Left out and counted: records rejected by their score, of no training
 * row of this dataset, and all but the best of several for one row.
 *
 * For a kind that is not flat *stats has `recall` and `setting` (lcf_examples_recall), too, and
 * `query_us`, a time, and `grown_rows`, which are not written.
 *
 * errors   EINVAL no example at all, a record without a vector, vectors of another dataset
 */
lcf_status lcf_index_run(json_t **stats, bool *current, const lcf_index_options *options,
                         lcf_err *err);

typedef struct lcf_retrieve_options {
    const char *dataset_dir, *vectors_dir, *examples_dir, *out_dir;
    const char *codes_dir; /* with the rule `by` codes; else NULL */
    lcf_example_options rule;
    size_t check_rows; /* that many rows are compared with the exact search */
    uint64_t seed;     /* of the rows checked */
    size_t threads;
    bool force;
    bool reuse; /* of what is there, search again only what may have changed */
} lcf_retrieve_options;
#define LCF_RETRIEVE_OPTIONS_INIT                                                        \
    {                                                                                    \
        NULL, NULL, NULL, NULL, NULL, LCF_EXAMPLE_OPTIONS_INIT, 1000, 1, 0, false, false \
    }

/*
 * The examples of every sample of all splits, by the retrieval rule; each result is held against
 * the rule before it is written. Beside them, as predictions of the valid and the test split, what
 * the examples' labels alone say (lcf_retrieved_vote): the k nearest neighbours as a rival.
 *
 * With `reuse`, rows that were there are searched among new examples only, as far as that is exact
 * (common/store/retrieved_reuse.h): the same bytes. *stats then has `searched_rows` and
 * `new_examples`, which are not written.
 *
 * errors   EINVAL inputs that do not belong together; ECANCELED stopped by a signal
 */
lcf_status lcf_retrieve_run(json_t **stats, bool *current, const lcf_retrieve_options *options,
                            lcf_err *err);

typedef struct lcf_knowledge_options {
    const char *dataset_dir, *vectors_dir, *examples_dir, *cot_dir, *out_dir;
    size_t threads;
    bool force;
} lcf_knowledge_options;

/*
 * What the records of the examples say about their users and items (parts.h), encoded, as running
 * means in time (common/data/knowledge.h).
 *
 * errors   those of opening the inputs; ENOTFOUND a record that is not in the store; EINVAL
 *          examples of another dataset
 */
lcf_status lcf_knowledge_run(json_t **stats, bool *current, const lcf_knowledge_options *options,
                             lcf_err *err);

#endif
