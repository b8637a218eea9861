/*
 * What lcf_examples keeps per label beside its arrays, and the scoring that the exact and the
 * indexed search share. Internal to common/store.
 */
#ifndef LCF_COMMON_STORE_EXAMPLES_INDEX_H
#define LCF_COMMON_STORE_EXAMPLES_INDEX_H

#include "common/store/examples.h"
#include "common/store/faiss_index.h"

/*
 * The examples of one label by time, then example index: the rows of a FAISS index whose vectors
 * are [hbar, t]. What is known at a time is then a prefix of the rows.
 */
typedef struct lcf_label_index {
    lcf_faiss *faiss; /* NULL: search by plain loops */
    size_t n;
    uint32_t *ids;     /* [n] row -> example */
    int64_t *time;     /* [n] of the row */
    uint32_t *by_user; /* [n] rows by user, then time */
    float norm_max;    /* of the rows */
} lcf_label_index;

/* Rows, times and users of one label; faiss stays NULL. errors: ENOMEM */
lcf_status lcf_label_index_create(lcf_label_index **out, const lcf_examples *e, unsigned label,
                                  lcf_err *err);
void lcf_label_index_free(lcf_label_index *index); /* NULL is fine */
/* The [n, 2 * text_dim] matrix of [hbar, t] by row; free() releases it. NULL: out of memory. */
float *lcf_label_index_vectors(const lcf_label_index *index, const lcf_examples *e);

#define LCF_EXAMPLES_SETTING_MAX 4096
/* Finds and sets how far the indices of `e` have to be searched; see lcf_examples_save_kind. Every
 * label has one. errors: ENOMEM */
lcf_status lcf_examples_measure(lcf_examples_recall *out, lcf_examples *e, lcf_err *err);

/* Rows of that label known before `time`. */
size_t lcf_label_index_before(const lcf_label_index *index, int64_t time);
/* Rows of that user and label at `time` or later. */
size_t lcf_label_index_later(const lcf_label_index *index, const lcf_examples *e, uint32_t user,
                             int64_t time);

/* Whether the rule of the mode lets this example be used for this query. */
bool lcf_example_allowed(const lcf_examples *e, size_t example, const lcf_example_query *query,
                         lcf_retrieval_mode mode);
/* The inner product that scores are made of: f32, a fixed tree. */
float lcf_example_dot(const float *a, const float *b, size_t n);
/* What <hbar, hbar'> and <t, t'> count in the score: 0.5 and 0.5, 1 and 0, or 0 and 1. */
float lcf_example_user_weight(lcf_retrieval_by by);
float lcf_example_item_weight(lcf_retrieval_by by);
/* The two weighted products; one that does not count is 0. The score is their f32 sum: the same
 * bits on every machine. */
float lcf_example_user_part(const lcf_examples *e, size_t example, const lcf_example_query *query,
                            lcf_retrieval_by by);
float lcf_example_item_part(const lcf_examples *e, size_t example, const lcf_example_query *query,
                            lcf_retrieval_by by);
float lcf_example_score(const lcf_examples *e, size_t example, const lcf_example_query *query,
                        lcf_retrieval_by by);

/* The best `wanted` so far, best first; equal scores by the lower example. */
typedef struct lcf_best {
    uint32_t ids[LCF_EXAMPLES_K_MAX];
    float scores[LCF_EXAMPLES_K_MAX];
    uint32_t n, wanted;
} lcf_best;

void lcf_best_add(lcf_best *best, uint32_t example, float score);
/* Writes one row of the result: positives, then negatives, then LCF_EXAMPLE_NONE. */
void lcf_best_finish(uint32_t *ids, float *scores, const lcf_best best[2],
                     const lcf_example_options *options);
/* How many of each label are wanted. */
void lcf_best_init(lcf_best best[2], const lcf_example_options *options);
/* All rows [0, prefix) of one label by plain loops. */
void lcf_examples_scan(lcf_best *best, const lcf_examples *e, unsigned label, size_t prefix,
                       const lcf_example_query *query, const lcf_example_options *options);

/* Examples by distinct target vector: group i is members[begin[i] .. begin[i + 1]). */
typedef struct lcf_target_groups {
    size_t n;
    size_t *begin;     /* [n + 1] */
    uint32_t *members; /* [examples] */
    float *vectors;    /* [n, text_dim] */
    float norm_max;
} lcf_target_groups;

lcf_status lcf_target_groups_create(lcf_target_groups **out, const lcf_examples *e, lcf_err *err);
void lcf_target_groups_free(lcf_target_groups *groups); /* NULL is fine */
/* Nothing is grouped before the first search asks for it. errors: ENOMEM */
lcf_status lcf_examples_shared_init(lcf_examples *e, lcf_err *err);
void lcf_examples_shared_dispose(lcf_examples *e);
/* Whether all queries have the same user, time and history (the same pointer). */
bool lcf_examples_are_shared(const lcf_example_query *queries, size_t n);
/* lcf_examples_search for such queries; options were checked, e->shared is there. */
lcf_status lcf_examples_search_shared(uint32_t *ids, float *scores, const lcf_examples *e,
                                      const lcf_example_query *queries, size_t n,
                                      const lcf_example_options *options, lcf_err *err);
/* Whether the options' deadline has passed. */
bool lcf_examples_late(const lcf_example_options *options);
/* n places of no example; scores may be NULL. */
void lcf_examples_none(uint32_t *ids, float *scores, size_t n);

#endif
