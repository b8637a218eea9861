/*
 * libllmcf: the ranking library. Open a snapshot, rank candidates for a user, close. No language
 * model runs here.
 *
 * Threads: a snapshot handle is shared; each thread that ranks has its own lcf_rank_context.
 * Everything a result points to belongs to the context and is valid until its next rank.
 *
 * source   schemas/rank_request.md, schemas/rank_response.md
 */
#ifndef LLMCF_H
#define LLMCF_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_RANK_CANDIDATES_MAX 2000

typedef struct lcf_ranker_snapshot lcf_ranker_snapshot; /* an open snapshot, ready to rank */
typedef struct lcf_rank_context lcf_rank_context;       /* scratch of one thread */

lcf_status lcf_rank_open(lcf_ranker_snapshot **out, const char *path, lcf_err *err);
void lcf_rank_close(lcf_ranker_snapshot *s);
lcf_status lcf_rank_context_create(lcf_rank_context **out, const lcf_ranker_snapshot *s,
                                   lcf_err *err);
void lcf_rank_context_free(lcf_rank_context *c);

typedef struct lcf_rank_request {
    const char *user_id; /* "" or unknown: an anonymous user */
    const char *const
        *history; /* external item ids, oldest first; NULL: the snapshot's history of the user */
    size_t history_n;
    const char *const *candidates; /* external item ids */
    size_t candidates_n;           /* 1 .. LCF_RANK_CANDIDATES_MAX */
    const char *arm;               /* NULL: the snapshot's default arm */
    uint32_t k;                    /* examples per candidate; 0: the model's */
    size_t top;                    /* results returned; 0: all */
    bool explain;                  /* also the examples of every result */
} lcf_rank_request;

typedef struct lcf_rank_example {
    char key[33]; /* of the CoT record */
    const char *user_id, *item_id, *title, *cot;
    int label;
    float similarity;
} lcf_rank_example;

typedef struct lcf_rank_result {
    size_t candidate; /* index into the request */
    const char *item_id, *title;
    float score; /* probability */
    const char *
        degraded; /* NULL, or why the backbone's score stands: "no_examples", "unknown_item", ... */
    const lcf_rank_example *examples;
    size_t examples_n;
} lcf_rank_result;

typedef struct lcf_rank_response {
    const char *generation, *arm;
    const lcf_rank_result *results; /* by falling score, ties by candidate index */
    size_t results_n;
    const char
        *degraded; /* NULL, or the reason that concerns the whole request: "unknown_user", ... */
    double retrieve_ms, score_ms, total_ms;
} lcf_rank_response;

/* errors: EINVAL candidates_n or k out of range, unknown arm. A well-formed request is always
 * answered. */
lcf_status lcf_rank(lcf_rank_response *out, lcf_rank_context *c, const lcf_rank_request *request,
                    lcf_err *err);

#endif
