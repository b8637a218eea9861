/*
 * Neighbours: for every item, the targets of examples that are nearest to it, found once when a
 * snapshot is published. With them the examples of hundreds of candidates of one user are found
 * without looking at every example for every candidate, and are the same as by the definition.
 *
 * The score of an example is 0.5 <hbar, hbar'> + 0.5 <t, t'>. The first part is the same for all
 * candidates of a user and is computed once; the second depends on the item and on the example's
 * target alone, which many examples share, and is what the lists hold. A candidate walks its item's
 * list, the examples of each target with it, then the examples by falling first part, and stops
 * when nothing that it has not seen can reach its last place (Fagin, Lotem, Naor 2001: the
 * threshold algorithm). A candidate that the lists do not settle goes through
 * lcf_examples_search.
 *
 * Life cycle: save (offline); open -> search ... -> close. Shared between threads; a scratch
 * belongs to one.
 *
 * source   llm-cf.md section 4; schemas/snapshot.md
 */
#ifndef LCF_COMMON_STORE_NEIGHBOURS_H
#define LCF_COMMON_STORE_NEIGHBOURS_H

#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "common/data/embeddings.h"
#include "common/store/examples.h"

#define LCF_NEIGHBOURS_N 64      /* targets per item */
#define LCF_NEIGHBOURS_VERSION 4 /* kind "neighbours" */
#define LCF_TARGET_NONE UINT32_MAX

#define LCF_NEIGHBOURS_NEAREST 7 /* targets that stand beside the item's bound: a cache line */

/* What most queries read of an item's list, in one place. */
typedef struct lcf_neighbours_head {
    uint32_t ids[LCF_NEIGHBOURS_NEAREST];
    float products[LCF_NEIGHBOURS_NEAREST];
    float bound;
    uint32_t unused;
} lcf_neighbours_head;

/* An example, and its history as a run of the sequence of items. */
typedef struct lcf_neighbours_place {
    uint32_t example, history_begin, history_end;
} lcf_neighbours_place;

typedef struct lcf_neighbours {
    lcf_bundle *bundle;
    size_t items_n, targets_n;
    /* Examples by distinct target vector and label, then index: those of target t and label l are
     * members[begin[2 t + l] .. begin[2 t + l + 1]). */
    const uint32_t *begin;   /* [2 * targets_n + 1] */
    const uint32_t *members; /* [examples] */
    const uint32_t *ids;     /* [items_n, LCF_NEIGHBOURS_N] targets, LCF_TARGET_NONE at the end */
    const float *products;   /* [items_n, LCF_NEIGHBOURS_N] <t, t'>, falling */
    const float *bound;      /* [items_n] no target that is not listed has a larger <t, t'>;
                                -INFINITY when all are listed */
    float history_error; /* no example's history_vec is farther from the mean of its items' vectors;
                            not finite: unknown */
    /* The items' vectors once more, in half the bytes, for a request reads all of them: a row is
     * scale times what is rounded, within rounding_error of the vector. */
    const int16_t *rounded; /* [items_n, text_dim] */
    const float *scale;     /* [items_n] */
    float rounding_error;
    /* Owned, for a request reads most of it. The examples in places: by label, then target, then
     * index; those of target t and label l have the places place_begin[l targets_n + t] up to the
     * next. Their histories are runs of one sequence of items: those of one user overlap. */
    lcf_arena *memory;
    lcf_neighbours_head *heads;   /* [items_n] */
    uint32_t *place_begin;        /* [2 * targets_n + 1] */
    lcf_neighbours_place *places; /* [examples] */
    uint32_t *sequence;           /* [sequence_n] */
    size_t sequence_n;
} lcf_neighbours;

/* Pairs of items and targets beyond which save declines: lists would cost too much to make. */
#define LCF_NEIGHBOURS_PAIRS_MAX ((size_t)4000000000)

/* cost: one matrix product of items and targets. *written: false where save declined. errors:
 * EINVAL examples of other items; ENOMEM, EIO, ENOSPC */
lcf_status lcf_neighbours_save(bool *written, const char *path, const lcf_embeddings *items,
                               const lcf_examples *e, lcf_err *err);
/* errors: as lcf_bundle_open; EFORMAT of other numbers of items or examples, or labels mixed up */
lcf_status lcf_neighbours_open(lcf_neighbours *out, const char *path, size_t items_n,
                               const lcf_examples *e, lcf_err *err);
void lcf_neighbours_close(lcf_neighbours *nb);

typedef struct lcf_neighbours_scratch lcf_neighbours_scratch;

/* For up to queries_max queries at a time. errors: ENOMEM */
lcf_status lcf_neighbours_scratch_create(lcf_neighbours_scratch **out, const lcf_neighbours *nb,
                                         const lcf_examples *e, size_t queries_max, lcf_err *err);
void lcf_neighbours_scratch_free(lcf_neighbours_scratch *s); /* NULL is fine */

/*
 * The examples of n queries of one user: lcf_examples_search with the same result, bit for bit.
 *
 * shapes   ids, scores [n, k] as there; items [n], each < items_n: target_vec of query i is the
 *          vector of that item; user, time and history_vec of all queries are those of the first,
 *          and they have no sample_hash
 * errors   EINVAL k out of range; ENOMEM
 * memory   allocates only for queries that the lists do not settle: where the rule scores by one
 *          part alone, all
 */
lcf_status lcf_neighbours_search(uint32_t *ids, float *scores, lcf_neighbours_scratch *scratch,
                                 const lcf_neighbours *nb, const lcf_examples *e,
                                 const uint32_t *items, const lcf_example_query *queries, size_t n,
                                 const lcf_example_options *options, lcf_err *err);
/* Of the last search: queries that went through lcf_examples_search. */
size_t lcf_neighbours_unsettled(const lcf_neighbours_scratch *scratch);

#endif
