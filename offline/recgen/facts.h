/*
 * Facts: what the log says about one sample, in the few figures that prompts, the bootstrap teacher
 * and the scorer speak about: the user's most loved categories and brands, the items to name, what
 * the target has in common with them and what would be new.
 *
 * Invariant: facts of a sample come from its own history, from the catalogue, and from the table of
 * related items, which is counted over training samples only. Nothing of the valid or test split
 * enters. Of the user's own future nothing enters but, for a training sample, what it and later
 * training samples add to that table: related items stand only where the decision is given (the
 * explanation of a training row), never in what a decision is asked of.
 *
 * Life cycle: lcf_related_create once per dataset (read only afterwards, shared between threads);
 * lcf_facts_of per sample fills a value of the caller's.
 */
#ifndef LCF_OFFLINE_RECGEN_FACTS_H
#define LCF_OFFLINE_RECGEN_FACTS_H

#include "common/data/dataset.h"

#include <stdbool.h>

#define LCF_FACTS_ITEMS_MAX LCF_HISTORY_MAX
#define LCF_FACTS_TOP_MAX 3
#define LCF_RELATED_MAX 3

/* The items most often chosen by the same users soon after one another; 0 = none. */
typedef struct lcf_related {
    uint32_t items_n;
    uint32_t *items; /* [items_n, LCF_RELATED_MAX], most frequent first */
} lcf_related;

/*
 * Counts pairs (liked item of the history, chosen target) over the positive samples of the training
 * split; a pair counts in both directions and must be seen twice.
 *
 * cost     O(P log P) for P = positives x LCF_RELATED_WINDOW pairs of 8 bytes
 * errors   ENOMEM
 */
#define LCF_RELATED_WINDOW 5
lcf_status lcf_related_create(lcf_related **out, const lcf_dataset *d, lcf_err *err);
void lcf_related_free(lcf_related *r);

/* A short list of indices, best first. */
typedef struct lcf_top {
    uint32_t idx[LCF_FACTS_TOP_MAX];
    uint32_t count[LCF_FACTS_TOP_MAX]; /* liked history items that have it */
    size_t n;
} lcf_top;

typedef struct lcf_facts {
    lcf_sample sample;
    bool rated; /* the history carries ratings */
    /* The items that may be named: the most recent history_n, oldest first. */
    uint32_t liked[LCF_FACTS_ITEMS_MAX], disliked[LCF_FACTS_ITEMS_MAX];
    size_t liked_n, disliked_n;
    /* The most recent history_n liked items as they came, oldest first, repeats and all. */
    uint32_t recent[LCF_FACTS_ITEMS_MAX];
    size_t recent_n;
    lcf_top categories, brands; /* most loved, over the liked items */
    lcf_top shared;             /* the target's categories that liked items have */
    lcf_top fresh;              /* the target's categories that no liked item has */
    uint32_t brand_count;       /* liked items of the target's brand */
    uint32_t near_liked;        /* the liked item most like the target; 0 when none is liked */
    uint32_t near_disliked;     /* the disliked item most like the target; 0 when none has anything
                                   in common with it */
    uint32_t related[LCF_RELATED_MAX];
    size_t related_n;
} lcf_facts;

/*
 * Facts of sample `sample`. At most history_n items are named, a third of them (more where few are
 * liked) disliked ones; counts are over the whole history. related may be NULL: no related items.
 *
 * memory   allocates nothing
 */
void lcf_facts_of(lcf_facts *out, const lcf_dataset *d, const lcf_related *related,
                  size_t history_n, size_t sample);
/* True when this category or brand says something: neither empty nor "(...)" nor "unknown". */
bool lcf_label_is_telling(lcf_str label);

#endif
