/*
 * Generation: dataset + GGUF LLaMA -> chain-of-thought store, the whole step behind `llmcf
 * generate`.
 *
 * rows.h says which rows are chosen. A record's key is XXH3-128 of (sample hash, prompt version,
 * model id, sampling parameters): what is in the store is never generated again.
 *
 * What is guaranteed: the chosen rows, ordered so that prompts that begin alike follow one another
 * (order.h), are cut into groups of `batch_rows`; a
 * group is committed in one transaction, groups in order. Killed at any
 * moment and started again, the store ends up with the records of an undisturbed run: whole groups
 * are missing or there. Where a part of a group is there already (rows came in between), only the
 * missing rows are generated; those present stay as they are. A run that ends early commits what is
 * done. Threads, slots and memory do not change any record.
 *
 * With an endpoint each row is a group of its own, committed as soon as it is answered and before
 * its place in flight is given to another: killed, at most `concurrency` answers are lost. A row
 * that the endpoint refuses is left, counted and asked for again by the next run.
 *
 * A budget that is used up ends the run well: what is under way is committed, the rest is left.
 *
 * source   llm-cf.md section 3, schemas/cot_record.md
 */
#ifndef LCF_OFFLINE_RECGEN_GENERATE_H
#define LCF_OFFLINE_RECGEN_GENERATE_H

#include "common/store/cot_store.h"
#include "offline/recgen/budget.h"
#include "offline/recgen/endpoint.h"
#include "offline/recgen/rows.h"
#include "offline/recgen/score_weights.h"

#include <stdio.h>

typedef struct lcf_generate_options {
    const char *dataset, *out;
    const char *model; /* a GGUF file; without one, the endpoint's */
    lcf_endpoint_options endpoint;
    const char *skip_in; /* another store: rows that are in it are left alone; NULL = none */
    lcf_row_choice choice;
    lcf_budget budget;
    const char *score_weights; /* a file that says which candidate is kept; NULL: score.h does */
    lcf_decoding decoding;
    size_t batch_rows;
    lcf_prompt_options prompt;
    const char *template_file; /* its wording; NULL: that of the dialect */
    const char *codes;         /* the artefact that it speaks of; NULL: none */
    size_t threads;
    size_t slots;        /* candidates decoded side by side; 0: as decode.h says */
    size_t kv_bytes_max; /* of the KV cache; 0: as much as the slots can use */
    bool force;          /* look into the store even when the manifest says that all is there */
} lcf_generate_options;
void lcf_generate_options_init(lcf_generate_options *options);

typedef struct lcf_generate_result {
    bool current;              /* nothing was done: the artefact is up to date */
    uint64_t rows_chosen;      /* of the training split */
    uint64_t rows_present;     /* of these, in the store before */
    uint64_t rows_generated;   /* committed by this run */
    uint64_t rows_rejected;    /* of these, without a good candidate */
    uint64_t rows_left;        /* chosen, and not in the store yet: the next run goes on */
    uint64_t tokens_generated; /* over all candidates */
    double score_mean;         /* of the generated rows that were not rejected; NaN without any */
    const char *budget; /* that ended the run before its last row: an option's name, or NULL */
    double seconds;
    lcf_engine_stats engine;
} lcf_generate_result;

/*
 * errors   ECANCELED a signal: the groups in flight were finished and committed, run again to go
 * on; ENOSPC what was committed before stays; EBUSY another process writes to the store; those of
 * the files
 */
lcf_status lcf_generate(lcf_generate_result *result, const lcf_generate_options *options,
                        lcf_err *err);

#define LCF_SAMPLING_TEXT_BYTES 320
/* e.g. "temperature=0.6 top_k=50 top_p=1 candidates=3 max_tokens=160 seed=1", behind it what else
 * is on: min_p, repeat_penalty, beams, and stops as the hash of the strings
 * (schemas/cot_record.md). errors: ENOMEM */
lcf_status lcf_sampling_text(char out[LCF_SAMPLING_TEXT_BYTES], const lcf_generate_options *options,
                             const lcf_score_weights *weights, lcf_err *err);
/* The weights of the options' file, if they name one. *weights: NULL or storage. errors: as
 * lcf_score_weights_load */
lcf_status lcf_generate_weights(const lcf_score_weights **weights, lcf_score_weights *storage,
                                const lcf_generate_options *options, lcf_err *err);

#endif
