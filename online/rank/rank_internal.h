/*
 * A ranking request on its way, as the files of online/rank know it. Private to them.
 *
 * Invariant: a context holds room for LCF_RANK_CANDIDATES_MAX candidates from the start, so that a
 * request allocates only what the tape and the arena have not seen yet.
 */
#ifndef LCF_ONLINE_RANK_RANK_INTERNAL_H
#define LCF_ONLINE_RANK_RANK_INTERNAL_H

#include "common/base/mem.h"
#include "common/nn/tape.h"
#include "common/snapshot/snapshot.h"
#include "online/rank/item_index.h"
#include "online/rank/llmcf.h"
#include "online/rank/moment.h"

#define RANK_NO_ARM SIZE_MAX

struct lcf_ranker_snapshot {
    lcf_snapshot *data;
    rank_item_index items;
    size_t backbone_arm; /* what answers where no example can be used; RANK_NO_ARM: none */
};

/* A candidate's place in the order. */
typedef struct rank_place {
    float score;
    uint32_t candidate;
} rank_place;

struct lcf_rank_context {
    const lcf_ranker_snapshot *snapshot;
    lcf_tape *tape;
    lcf_arena *arena; /* what the response points to; reset by the next rank */
    float *history_vec;
    uint32_t history[LCF_HISTORY_MAX], history_n;
    const uint8_t
        *history_labels; /* of the snapshot's history; NULL: the request brought its own */
    /* [LCF_RANK_CANDIDATES_MAX] each */
    uint32_t *item;
    lcf_example_query *queries;
    lcf_neighbours_scratch *neighbours; /* NULL where the snapshot has none */
    uint32_t *examples;                 /* [candidates, k of the model] */
    float *similarities;
    const char **degraded;
    bool *plain; /* without examples: the backbone answers */
    lcf_ranker_row *rows;
    uint32_t *row_candidate;
    float *row_score;
    rank_place *places, *places_room;
    lcf_moment moment;
    lcf_features features; /* of the text encoder, where the snapshot has one */
    lcf_buf text;          /* of an item that is described */
};

/* One request on its way. */
typedef struct rank_job {
    lcf_rank_context *c;
    const lcf_rank_request *request;
    const lcf_snapshot *data;
    size_t arm;
    uint32_t user, k; /* k of the arm's model: the row length of `examples` */
    bool retrieved;
    lcf_ranker_item
        *described; /* [described_n] items of the request, after those of the catalogue */
    const lcf_rank_item **described_as; /* [described_n] */
    size_t described_n;
    const float *similarities; /* of the context, where they were asked for */
    double start_s;            /* of lcf_clock_s */
    double side_s;             /* of the arm's side module */
} rank_job;

/* lcf_rank, and what the request became on the way. */
lcf_status lcf_rank_run(lcf_rank_response *out, rank_job *j, lcf_err *err);
/* The arm that answers for a candidate without examples. */
size_t lcf_rank_fallback_arm(const rank_job *j);
/* A candidate as the models take it, without examples. */
lcf_ranker_row lcf_rank_row(const rank_job *j, size_t candidate);
lcf_ranker_source lcf_rank_source(rank_job *j);
/* A copy in the arena that the response lives in; NULL when out of memory. */
const char *lcf_rank_copy_text(lcf_arena *arena, const char *text, size_t len);
const char *lcf_rank_copy_string(lcf_arena *arena, const lcf_strings *strings, size_t idx);

/* explain.c: the examples of one result, which has some. errors: ENOMEM */
lcf_status lcf_rank_list_examples(lcf_rank_result *result, rank_job *j, lcf_err *err);

#endif
