/*
 * Examples: the in-context CoT dataset as the ranker sees it, with a FAISS index over it, and the
 * retrieval rule.
 *
 * An example is a past decision (user, history, item, label, time) with the embedding of its CoT.
 * Search follows llm-cf.md section 4: score(query, example) = 0.5 <hbar, hbar'> + 0.5 <t, t'> (or
 * one of the two products alone), the best K/2 of each label, and never the row itself, nor (by
 * mode) a row from the query's future. Ties are broken by the lower example index. With a flat
 * index (the default) the search is exact; other kinds propose what is then scored and struck out
 * by the same rule, and may miss some.
 *
 * Life cycle: open -> search ... -> close. Searching is thread-safe and opens no threads of its
 * own.
 *
 * source   schemas/examples.md
 */
#ifndef LCF_COMMON_STORE_EXAMPLES_H
#define LCF_COMMON_STORE_EXAMPLES_H

#include "common/base/bundle.h"
#include "common/base/hash.h"
#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/store/faiss_index.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_EXAMPLES_K_MAX 16
#define LCF_EXAMPLE_NONE UINT32_MAX

typedef enum lcf_retrieval_mode {
    LCF_RETRIEVE_SAME_USER = 0, /* the same user's rows must be earlier than the query */
    LCF_RETRIEVE_STRICT = 1,    /* every example must be earlier than the query */
} lcf_retrieval_mode;

/* What the score is made of. */
typedef enum lcf_retrieval_by {
    LCF_RETRIEVE_BY_BOTH = 0,    /* 0.5 <hbar, hbar'> + 0.5 <t, t'> */
    LCF_RETRIEVE_BY_HISTORY = 1, /* <hbar, hbar'>: for tasks without a target item */
    LCF_RETRIEVE_BY_TARGET = 2,  /* <t, t'> */
    LCF_RETRIEVE_BY_CODES = 3,   /* bits in which codes agree: examples_codes.h alone searches so */
} lcf_retrieval_by;

typedef struct lcf_examples {
    lcf_bundle *bundle;
    size_t n, text_dim, cot_dim;
    const lcf_hash128 *key;         /* [n] of the CoT record */
    const lcf_hash128 *sample_hash; /* [n] */
    const uint32_t *user, *item;    /* [n] dataset indices */
    const uint8_t *label;           /* [n] */
    const int64_t *time;            /* [n] */
    const uint32_t *history;        /* [n, LCF_HISTORY_MAX], oldest first, 0-padded at the end */
    const uint32_t *history_n;      /* [n] */
    const float *history_vec;       /* [n, text_dim] hbar */
    const float *target_vec;        /* [n, text_dim] t */
    const float *cot_vec;           /* [n, cot_dim] */
    lcf_faiss_kind kind;            /* of the indices */
    uint32_t setting;               /* of that kind: how far its searches go */
    uint32_t built[2];      /* of each label: rows when its index was last made from nothing */
    void *faiss[2];         /* one index per label, owned; opaque here */
    uint32_t *faiss_ids[2]; /* FAISS row -> example */
    void *shared;           /* what searches of one request share, owned; opaque here */
} lcf_examples;

lcf_status lcf_examples_open(lcf_examples *out, const char *dir, lcf_err *err);
/* For queries of one request (see lcf_examples_search): flat indices, which these do without, are
 * not opened, nor others where lists of neighbours answer. Other queries then go through plain
 * loops. Fast, and the arrays are mapped. */
lcf_status lcf_examples_open_for_requests(lcf_examples *out, const char *dir, bool has_lists,
                                          lcf_err *err);
/* Flat indices over arrays of the caller's, which stay; lcf_examples_close releases them. */
lcf_status lcf_examples_index(lcf_examples *e, lcf_err *err);
void lcf_examples_close(lcf_examples *e);
/* Writes examples.lcf and flat FAISS indices into `dir`; `e` needs no faiss fields. */
lcf_status lcf_examples_save(const char *dir, const lcf_examples *e, lcf_err *err);

/* What a sample of queries finds through an index, K = 4 balanced: half are examples' own rows,
 * half have the target of another one, as the candidates of a request. */
typedef struct lcf_examples_recall {
    uint32_t setting; /* the first that finds LCF_EXAMPLES_RECALL of what the definition finds, or
                         the largest there is */
    uint32_t queries_n;
    double recall;   /* of the half that finds less */
    double query_us; /* mean of the search at that setting, on one thread */
} lcf_examples_recall;
#define LCF_EXAMPLES_RECALL 0.99

/*
 * The same with indices of a kind, searched as far as the recall needs. *recall: of flat ones, 1
 * without a measurement.
 *
 * before (NULL: none): a folder of earlier examples, whose indices are grown by the rows that are
 * new and, but for hnsw, lose those that have gone, instead of being made from nothing. That is
 * done where the other earlier rows of a label come first, in their order, as long as three
 * quarters as many of them are left as it was last made of, and it has not grown by half since; and
 * as long as the indices need be searched no farther than the earlier. (Of a window that moves on
 * day by day all rows may have changed since: how far a search goes tells when that matters.)
 * *grown_n: rows added or taken out so; 0 when all was made from nothing.
 */
lcf_status lcf_examples_save_kind(lcf_examples_recall *recall, size_t *grown_n, const char *dir,
                                  const lcf_examples *e, lcf_faiss_kind kind, const char *before,
                                  lcf_err *err);

typedef struct lcf_example_query {
    uint32_t user;            /* dataset index, 0 = unknown */
    int64_t time;             /* of the query; INT64_MAX = now */
    lcf_hash128 sample_hash;  /* of the query's own row, zeros when it is no row of the dataset */
    const float *history_vec; /* [text_dim] */
    const float *target_vec;  /* [text_dim] */
} lcf_example_query;

typedef struct lcf_example_options {
    uint32_t k;    /* examples per query, <= LCF_EXAMPLES_K_MAX */
    bool balanced; /* k/2 of each label (label 1 gets the odd one) instead of the best k */
    lcf_retrieval_mode mode;
    lcf_retrieval_by by;
    double deadline_s; /* of lcf_clock_s, 0: none. Queries of a request that are not looked at until
                          then get no examples: no part of the rule */
} lcf_example_options;

#define LCF_EXAMPLE_OPTIONS_INIT                                   \
    {                                                              \
        4, true, LCF_RETRIEVE_SAME_USER, LCF_RETRIEVE_BY_BOTH, 0.0 \
    }

/* "flat", "hnsw", "ivf", "sq8". errors: EINVAL no such name */
const char *lcf_faiss_kind_name(lcf_faiss_kind kind);
lcf_status lcf_faiss_kind_parse(lcf_faiss_kind *out, const char *name, lcf_err *err);
/* "same-user", "strict"; "both", "history", "target", "codes". errors: EINVAL no such name */
const char *lcf_retrieval_mode_name(lcf_retrieval_mode mode);
const char *lcf_retrieval_by_name(lcf_retrieval_by by);
lcf_status lcf_retrieval_mode_parse(lcf_retrieval_mode *out, const char *name, lcf_err *err);
lcf_status lcf_retrieval_by_parse(lcf_retrieval_by *out, const char *name, lcf_err *err);
/*
 * The rule as JSON {"balanced", "by", "k", "mode"}, as files carry it that were made by it.
 *
 * errors   EFORMAT a key is missing or out of range
 * memory   to_json: the caller's (json_decref); NULL when out of memory
 */
json_t *lcf_example_options_to_json(const lcf_example_options *options);
lcf_status lcf_example_options_of_json(lcf_example_options *out, const json_t *json, lcf_err *err);

/*
 * The examples of n queries. Queries of one request, which share user, time and the very pointer
 * history_vec, are answered faster: what the user contributes to the scores is computed once.
 *
 * shapes   ids [n, k], scores [n, k] (may be NULL); positives first, each label by falling score;
 *          where fewer qualify the rest is LCF_EXAMPLE_NONE with score 0
 * errors   EINVAL k out of range; ENOMEM
 * threads  safe
 */
lcf_status lcf_examples_search(uint32_t *ids, float *scores, const lcf_examples *e,
                               const lcf_example_query *queries, size_t n,
                               const lcf_example_options *options, lcf_err *err);
/* The same by plain loops over all examples: the definition that the tests hold the index to. */
lcf_status lcf_examples_search_exact(uint32_t *ids, float *scores, const lcf_examples *e,
                                     const lcf_example_query *queries, size_t n,
                                     const lcf_example_options *options, lcf_err *err);

#endif
