/*
 * Candidates: several texts for each of many prompts, decoded side by side in one session.
 *
 * Rows come from a source when there is room: a number of candidates at a time (slots), and pages
 * of the KV cache for the longest they can become. A row's prompt is read once, in pieces beside
 * the candidates that decode, starting from the longest beginning that another row has read
 * already; its candidates go on from it. A candidate leaves when it ends, a row when all of its
 * candidates have.
 *
 * With beams the candidates of a row are the best texts of one search instead (llama/beam.h).
 *
 * The draws of a candidate come from a generator seeded by (its row's key, candidate number), those
 * of a search from (its row's key, 0), and the network gives a token the same bits in any batch:
 * the texts depend on prompt and key alone, not on slots, threads, memory or the order of rows.
 *
 * Life cycle: create -> run ... -> free. One caller; the session has threads of its own.
 */
#ifndef LCF_OFFLINE_RECGEN_DECODE_H
#define LCF_OFFLINE_RECGEN_DECODE_H

#include "common/base/hash.h"
#include "offline/llama/beam.h"

typedef struct lcf_decoder lcf_decoder;

#define LCF_DECODER_SLOTS 32 /* unless said otherwise */

typedef struct lcf_decoding { /* what is wanted for a prompt */
    size_t candidates_n;
    size_t beams_n;    /* at least candidates_n: texts that are searched side by side; 0: none */
    size_t tokens_max; /* new tokens of a candidate */
    lcf_sampling sampling;
    lcf_stops stops;
} lcf_decoding;

typedef struct lcf_decoder_options {
    lcf_decoding decoding;
    size_t slots;         /* texts side by side; at least one row's; 0: LCF_DECODER_SLOTS */
    size_t threads;       /* 0: one per processor */
    size_t kv_bytes_max;  /* of the KV cache; 0: as much as the slots can use */
    lcf_soft_tokens soft; /* that prompts may hold; the rows must outlive the decoder */
} lcf_decoder_options;

typedef struct lcf_candidate {
    lcf_tokens tokens; /* without </s>; with those of a stop string */
    bool finished;     /* ended by </s> or a stop string, not by tokens_max */
    double logprob;    /* sum over its tokens; of a search: its score */
} lcf_candidate;

typedef struct lcf_decoder_row {
    size_t id;       /* the source's */
    lcf_hash128 key; /* seeds the draws */
    lcf_tokens prompt;
} lcf_decoder_row;

typedef struct lcf_decoder_source {
    void *arg;
    /* Fills in *row (its prompt is empty, with room from before), 1 to prompt_max tokens; *any:
     * there was one. After false it is not asked again in this run. */
    lcf_status (*next)(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err);
    /* candidates [candidates_n], valid during the call */
    lcf_status (*done)(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                       lcf_err *err);
} lcf_decoder_source;

typedef struct lcf_decoder_stats {
    uint64_t prompt_tokens;   /* of all prompts, once for each candidate */
    uint64_t prompt_computed; /* of these, that went through the network */
    uint64_t made_tokens;     /* of all candidates, of a search those of all its texts */
    uint64_t steps;           /* batches */
} lcf_decoder_stats;

/* errors: ENOMEM; EINVAL the model's context has no room for tokens_max, or the memory none for one
 * row; fewer beams than candidates */
lcf_status lcf_decoder_create(lcf_decoder **out, const lcf_llama *model,
                              const lcf_decoder_options *options, lcf_err *err);
void lcf_decoder_free(lcf_decoder *d);
/* Longest prompt that leaves room for tokens_max. */
size_t lcf_decoder_prompt_max(const lcf_decoder *d);
/* Rows that it can be working on at once. */
size_t lcf_decoder_rows_max(const lcf_decoder *d);
/* Until the source has no more rows and all are done. errors: those of the source, EINVAL a prompt
 * that is empty or too long, ENOMEM */
lcf_status lcf_decoder_run(lcf_decoder *d, const lcf_decoder_source *source, lcf_err *err);
/* Of all runs. */
const lcf_decoder_stats *lcf_decoder_stats_of(const lcf_decoder *d);

#endif
