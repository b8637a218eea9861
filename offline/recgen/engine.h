/*
 * The seam between a job (which rows, under which key, committed how: generate.c) and whoever
 * writes the texts. An engine pulls: it takes rows when it has room for them and hands each back
 * with its candidates when they are complete, in any order. There are two, the local one over
 * decode.h (engine_local.c) and a remote endpoint (engine_remote.c).
 *
 * Life cycle: create -> run -> free. One run at a time.
 */
#ifndef LCF_OFFLINE_RECGEN_ENGINE_H
#define LCF_OFFLINE_RECGEN_ENGINE_H

#include "common/base/hash.h"
#include "offline/recgen/decode.h"
#include "offline/recgen/prompt.h"

typedef struct lcf_ask { /* a row to be explained */
    size_t row;          /* the job's number for it */
    lcf_hash128 key;     /* the draws of its candidates depend on nothing else */
    size_t history_n;    /* items shown; less than asked for where the prompt would be too long */
    lcf_facts facts;
} lcf_ask;

typedef struct lcf_answer { /* one candidate, as the model wrote it */
    lcf_str text;
    size_t tokens_n;
    bool finished; /* ended by the model or a stop string, not by the limit on tokens */
} lcf_answer;

/* What an engine works for. Every function may be called from any thread. */
typedef struct lcf_job {
    void *arg;
    /*
     * Up to n rows of one group, in order. 0: none is left, or the job is to stop; what was taken
     * is still finished.
     */
    size_t (*take)(void *arg, lcf_ask *out, size_t n);
    /* True when nothing new is to be begun, and no failed row to be tried again. */
    bool (*stopping)(void *arg);
    /* Shows half of the history. false: there is nothing left to leave out. */
    bool (*shorten)(void *arg, lcf_ask *ask);
    /*
     * Takes over the candidates of a row; the row may be committed on return.
     *
     * shapes   answers [answers_n], at least 1; texts are valid during the call
     */
    lcf_status (*done)(void *arg, const lcf_ask *ask, const lcf_answer *answers, size_t answers_n,
                       size_t prompt_tokens_n, lcf_err *err);
} lcf_job;

typedef struct lcf_engine_stats {    /* zero where they say nothing */
    uint64_t requests_n, failures_n; /* sent to an endpoint; of these, without a good answer */
    uint64_t rows_refused;           /* that the endpoint will never answer */
    /* the local engine: tokens of all prompts (once per candidate) and candidates, and of these,
     * that went through the network: the rest was shared */
    uint64_t tokens_served, tokens_computed;
} lcf_engine_stats;

typedef struct lcf_engine lcf_engine;
struct lcf_engine {       /* the face; an implementation has it as its first member */
    const char *model_id; /* whose texts these are: enters the key of every record */
    lcf_engine_stats stats;
    /* Until take gives nothing and every row taken is done or given up, or the first failure. */
    lcf_status (*run)(lcf_engine *e, const lcf_job *job, lcf_err *err);
    void (*free)(lcf_engine *e);
};
/* NULL is fine. */
void lcf_engine_free(lcf_engine *e);

typedef struct lcf_engine_options {
    const lcf_dataset *dataset; /* must outlive the engine, like all pointers here */
    const lcf_prompt_options *prompt;
    lcf_decoding decoding;
    size_t threads;      /* 0 = all processors */
    size_t slots;        /* local: candidates that are decoded side by side; 0: as decode.h says */
    size_t kv_bytes_max; /* local: of the KV cache; 0: as much as the slots can use */
} lcf_engine_options;

/* The model of a GGUF file. errors: as lcf_llama_open; run: as lcf_decoder_create, lcf_decoder_run,
 * ELIMIT a prompt has no room in the model's context or in kv_bytes_max */
lcf_status lcf_engine_local_create(lcf_engine **out, const lcf_engine_options *options,
                                   const char *model, lcf_err *err);

#endif
