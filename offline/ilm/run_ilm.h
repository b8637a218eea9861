/*
 * The phase 2 step: dataset, collaborative vectors and a GGUF LLaMA -> an adapter for each seed,
 * what the model then says about valid and test rows, and what it writes, as an artefact folder:
 *
 *   adapter.lcf          of the seed with the lowest valid loss
 *   seed-N.lcf           of every seed
 *   valid.lcf, test.lcf  the probability of Yes as predictions of all seeds
 *   report.json          losses, AUC and UAUC, costs, what was written and expected
 *
 * While it runs, OUT.partial keeps what is finished and the state of the training in progress: a
 * stopped or killed run goes on there.
 *
 * source   schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_RUN_ILM_H
#define LCF_OFFLINE_ILM_RUN_ILM_H

#include "offline/ilm/soft_train.h"

#include <jansson.h>

#define LCF_ILM_SEEDS_MAX 32

typedef enum lcf_ilm_arms {
    LCF_ILM_ARM_TEXT, /* no soft token: the frozen model alone */
    LCF_ILM_ARM_MLP,
    LCF_ILM_ARM_RANDOM,  /* a Q-Former of random weights */
    LCF_ILM_ARM_QFORMER, /* one of phase 1 */
} lcf_ilm_arms;
#define LCF_ILM_ARMS_N 4
extern const char *const LCF_ILM_ARM_NAMES[LCF_ILM_ARMS_N];

typedef struct lcf_ilm_options {
    const char *dataset, *model, *out;
    const char *ranker;  /* a weights file, or NULL: spectral vectors (vectors.h) */
    const char *qformer; /* a weights file, or the folder of phase 1; NULL: none */
    const char *encoder; /* of the texts' similarity; NULL: the lexical one, fitted here */
    lcf_ilm_arms arm;
    size_t tokens; /* K; a Q-Former of phase 1 has its own */
    lcf_ilm_tasks_options tasks;
    lcf_ilm_train_options train; /* without its seed */
    uint64_t seeds[LCF_ILM_SEEDS_MAX];
    size_t seeds_n;
    double score_users; /* part of the users whose rows are scored, drawn by a hash; 1: all */
    size_t write_rows;  /* of each text task */
    size_t tokens_max;  /* of a text */
    size_t threads;
    bool force;
} lcf_ilm_options;
#define LCF_ILM_OPTIONS_INIT                                                                 \
    {                                                                                        \
        .arm = LCF_ILM_ARM_MLP, .tokens = 1, .tasks = LCF_ILM_TASKS_OPTIONS_INIT,            \
        .train = LCF_ILM_TRAIN_OPTIONS_INIT, .seeds = {1}, .seeds_n = 1, .score_users = 1.0, \
        .write_rows = 64, .tokens_max = 40                                                   \
    }

/*
 * *report receives report.json (json_decref), *current whether nothing had to be done.
 *
 * errors   ECANCELED a signal: what is finished is kept; EUSAGE options that do not go together;
 *          EINVAL inputs that do not; those of the files
 */
lcf_status lcf_ilm_step(json_t **report, bool *current, const lcf_ilm_options *options,
                        lcf_err *err);

#endif
