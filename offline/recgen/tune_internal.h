/* A run of tuning, shared by tune.c and tune_state.c. */
#ifndef LCF_OFFLINE_RECGEN_TUNE_INTERNAL_H
#define LCF_OFFLINE_RECGEN_TUNE_INTERNAL_H

#include "common/base/file.h"
#include "common/base/json.h"
#include "offline/llama/adapter.h"
#include "offline/recgen/pack.h"
#include "offline/recgen/tune.h"
#include "offline/recgen/yes_no.h"

typedef struct tuning {
    const lcf_tune_options *o;
    lcf_manifest *manifest;
    lcf_lock *lock;
    char *work, *checkpoint;
    lcf_dataset d;
    lcf_related *related;
    lcf_sources *sources;
    lcf_llama *base;
    lcf_tokenizer *own_tokenizer; /* NULL with a base model */
    lcf_tokenizer *tokenizer;
    lcf_llama_config config;
    lcf_adapter *adapter;
    lcf_llama_trainer *trainer;
    lcf_mixture *mixture;
    lcf_pool *pool;
    lcf_row *rows;
    lcf_answers answers; /* Yes and No, of a binary objective */
    lcf_pack pack;
    /* What the report needs and a resumed run must know. */
    lcf_recgen_measures before;
    json_t *before_json, *curve, *mixture_json;
    double window_loss;
    uint64_t window_n, tokens, truncated, lost;
} tuning;

/* One process writes and talks. */
static inline bool tune_is_first(const tuning *t)
{
    return !t->o->train.comm || t->o->train.comm->rank == 0;
}

/* *value of all processes becomes that of the first. errors: those of comm */
lcf_status tune_agree(const tuning *t, double *value, lcf_err *err);

/* The loss of a step; errors: ENOMEM */
lcf_status tune_record_loss(tuning *t, uint64_t step, double loss, lcf_err *err);
/* Ends the window of the loss: its mean becomes a point of the curve. errors: ENOMEM */
lcf_status tune_add_point(tuning *t, uint64_t step, lcf_err *err);

/* Names the folder of unfinished work; the first process makes and locks it. */
lcf_status tune_open_work(tuning *t, lcf_err *err);
/* Of the step at hand, in place of that of *last, which becomes this one. */
lcf_status tune_save_checkpoint(tuning *t, uint64_t *last, lcf_err *err);
/* Goes on from the checkpoint of a run started in the same way; *resumed says whether there was
 * one. */
lcf_status tune_resume(tuning *t, bool *resumed, lcf_err *err);

#endif
