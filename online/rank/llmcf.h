/*
 * libllmcf: the ranking library. Open a snapshot, rank candidates for a user, close. No language
 * model runs here.
 *
 * Life cycle: open -> context_create (one per thread) -> rank ... -> context_free -> close. The
 * snapshot must outlive its contexts.
 *
 * Threads: a snapshot handle is shared; each thread that ranks has its own lcf_rank_context.
 * Everything a response points to belongs to the context and is valid until its next rank.
 *
 * The BLAS below picks its kernels when the process starts: set OPENBLAS_CORETYPE (e.g. SkylakeX,
 * Haswell) in the environment; llmcf-rank and llmcf-serve do so themselves. Ranking starts no
 * threads. It leaves its thread with denormals flushed to zero, as training had them.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#ifndef LLMCF_H
#define LLMCF_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LCF_RANK_CANDIDATES_MAX 2000
#define LCF_RANK_EXPLAINED_MAX 100 /* results of lcf_rank_explain */

typedef struct lcf_ranker_snapshot lcf_ranker_snapshot; /* an open snapshot, ready to rank */
typedef struct lcf_rank_context lcf_rank_context;       /* scratch of one thread */

/*
 * path: a generation folder, or a root whose `current` is followed.
 *
 * errors   ENOENT; EFORMAT, EVERSION; ECHECKSUM a file of the snapshot is damaged (named); ENOMEM
 * memory   files are mapped; the index is read
 */
lcf_status lcf_rank_open(lcf_ranker_snapshot **out, const char *path, lcf_err *err);
void lcf_rank_close(lcf_ranker_snapshot *s); /* NULL is fine */

typedef struct lcf_rank_info {
    const char *generation, *id;         /* id: SHA-256 of the content, 64 hexadecimal digits */
    size_t users_n, items_n, examples_n; /* without the unknown at 0 */
    size_t arms_n;
    const char *arms[8];
    const char *default_arm;
} lcf_rank_info;

/* What the snapshot holds; the strings live as long as the snapshot. */
void lcf_rank_info_of(lcf_rank_info *out, const lcf_ranker_snapshot *s);

lcf_status lcf_rank_context_create(lcf_rank_context **out, const lcf_ranker_snapshot *s,
                                   lcf_err *err);
void lcf_rank_context_free(lcf_rank_context *c); /* NULL is fine */

/* A value of a field of the context or of users (schemas/fields.md), as text. */
typedef struct lcf_rank_value {
    const char *name, *value;
} lcf_rank_value;

/* What is said of an item that the snapshot may not know. NULL: nothing. */
typedef struct lcf_rank_item {
    const char *item_id, *title, *brand, *text;
    const char *const *categories;
    size_t categories_n;
} lcf_rank_item;

typedef struct lcf_rank_request {
    const char *user_id; /* "" or NULL: an anonymous user */
    const char *const
        *history; /* external item ids, oldest first; NULL: the snapshot's history of the user */
    size_t history_n;              /* the latest LCF_HISTORY_MAX known ones count */
    const char *const *candidates; /* external item ids */
    size_t candidates_n;           /* 1 .. LCF_RANK_CANDIDATES_MAX */
    const lcf_rank_value *context; /* what is known of the moment; fields left out have no value */
    size_t context_n;
    const lcf_rank_value *user_features; /* of the user's fields, in place of the snapshot's; those
                                            left out are the snapshot's, of a user it knows */
    size_t user_features_n;
    const char *arm;   /* NULL: the snapshot's default arm */
    uint32_t k;        /* examples per candidate, <= the model's; 0: the model's */
    size_t top;        /* results returned; 0: all */
    int64_t time;      /* seconds since 1970 of the decision; 0: now */
    bool strict;       /* with time: every example must be earlier, not only the user's own */
    double deadline_s; /* of CLOCK_MONOTONIC, in seconds, for the answer; 0: none. Where it comes
                          near, candidates at the end of the request get the backbone's score */
    bool explain;      /* also the examples of every result */
    /* Candidates that the snapshot does not know, by id: brand and categories that it knows count,
     * and title, brand, categories and text become the item's vector where the snapshot holds the
     * text encoder. Others are passed over. */
    const lcf_rank_item *items;
    size_t items_n; /* <= LCF_RANK_CANDIDATES_MAX */
} lcf_rank_request;

typedef struct lcf_rank_example {
    char key[33];                                /* of the CoT record */
    const char *user_id, *item_id, *title, *cot; /* cot "" when its record cannot be read */
    int label;
    float similarity;
    /* of lcf_rank_explain */
    float attention;     /* of the candidate's token to this example in ICT's last layer: the mean
                            of the heads' softmax weights, its three tokens together */
    float score_without; /* the score, had this example not been found */
} lcf_rank_example;

typedef struct lcf_rank_result {
    size_t candidate; /* index into the request */
    const char *item_id, *title;
    float score;          /* probability */
    const char *degraded; /* NULL, or why this is not the arm's full answer: "unknown_item" (scored
                             as an item without features: it is not described, or its text cannot be
                             read here), "no_examples" and "deadline" (the
                             backbone's score; of a described item in an arm that
                             reads no examples, "deadline": without its text) */
    const lcf_rank_example *examples; /* with explain */
    size_t examples_n;                /* used for the score; 0 in a backbone arm */
    float score_no_examples; /* of lcf_rank_explain: the score, had no example been found */
    bool described;          /* the snapshot does not know it: by what the request says of it */
} lcf_rank_result;

/* An item of the history that a request was ranked for. */
typedef struct lcf_rank_event {
    const char *item_id, *title;
    int label; /* 1 liked, 0 not liked, -1 nothing is known */
} lcf_rank_event;

typedef struct lcf_rank_response {
    const char *generation, *arm;
    const lcf_rank_result *results; /* by falling score, ties by candidate index */
    size_t results_n;
    const char *degraded;    /* NULL, or what concerns the whole request: "no_example_index",
                                "unknown_user"; of lcf_rank_explain "deadline", too */
    size_t degraded_n;       /* candidates with a reason, returned or not */
    bool explained, attends; /* of lcf_rank_explain; attends: the arm has an attention to show */
    const lcf_rank_event *history; /* of lcf_rank_explain: as the models read it, oldest first */
    size_t history_n;
    double retrieve_ms; /* finding examples */
    double ict_ms;      /* the arm's side module */
    double score_ms;    /* with ict_ms; the rest of it is the backbone's */
    double total_ms;
} lcf_rank_response;

/*
 * Scores and orders the candidates.
 *
 * errors   EINVAL candidates_n, items_n, k or time out of range, unknown arm, a field (named) of
 *          the context or of users that the snapshot lacks, that takes a number and was told none,
 *          or that holds vectors; ENOMEM. A well-formed request is always answered.
 * memory   allocates nothing after warm-up, but for the texts of explain and for candidates whose
 *          examples the snapshot's lists do not settle: a few, and those that are described
 * source   llm-cf.md sections 4 to 6
 */
lcf_status lcf_rank(lcf_rank_response *out, lcf_rank_context *c, const lcf_rank_request *request,
                    lcf_err *err);

/*
 * lcf_rank with `explain`, the history that it read, and beside every example of every result the
 * attention it got and the score without it. The scores are those of lcf_rank, bit for bit; those
 * "without" are the same model's for the same request with one example fewer, and with none.
 *
 * errors   as lcf_rank
 * memory   of the context, as lcf_rank; allocates
 * cost     about 3 + k times lcf_rank: use `top`. At most LCF_RANK_EXPLAINED_MAX results are given;
 *          where the deadline comes before all are explained those that are, 16 at least, and
 *          out->degraded says "deadline"
 */
lcf_status lcf_rank_explain(lcf_rank_response *out, lcf_rank_context *c,
                            const lcf_rank_request *request, lcf_err *err);

typedef enum lcf_rank_kind { LCF_RANK_USERS, LCF_RANK_ITEMS } lcf_rank_kind;

typedef struct lcf_rank_entry {
    const char *id, *title; /* title "" of a user */
    size_t history_n;       /* of a user */
} lcf_rank_entry;

/*
 * Up to n_max users whose id begins with `text`, or items whose id does or whose title contains it
 * in either case, in the order of the snapshot; for an empty text some from all over it. For people
 * who choose, not for programs.
 *
 * shapes   out [n_max]; *out_n of them are filled
 * errors   ENOMEM
 * memory   of the context: valid until its next call
 * cost     one look at every id and title
 */
lcf_status lcf_rank_find(lcf_rank_entry *out, size_t *out_n, lcf_rank_context *c,
                         lcf_rank_kind kind, const char *text, size_t n_max, lcf_err *err);

#ifdef __cplusplus
}
#endif

#endif
