/*
 * The judge step: dataset + GGUF LLaMA -> what the model answers for every chosen row, as an
 * artefact folder: judgements.lcf, and where those splits were asked about predictions: valid.lcf
 * and test.lcf (of Yes against No), yes/valid.lcf and yes/test.lcf (of Yes against all words).
 *
 * While it runs, finished parts are kept in OUT.partial: a stopped or killed run goes on with the
 * rows that are missing. Same inputs and options: same bytes, at any number of threads.
 *
 * source   schemas/judgements.md
 */
#ifndef LCF_OFFLINE_RECGEN_RUN_JUDGE_H
#define LCF_OFFLINE_RECGEN_RUN_JUDGE_H

#include "common/data/dataset.h"
#include "offline/recgen/prompt.h"

#include <jansson.h>

typedef struct lcf_judge_options {
    const char *dataset, *model, *out;
    bool splits[3]; /* which are asked about */
    double share;   /* of the training rows, in (0, 1]; with the same seed those of `generate` */
    double score_users; /* of the users, by their ids: whose valid and test rows; in (0, 1] */
    uint64_t seed;
    lcf_prompt_options prompt;
    const char *template_file; /* the prompts' wording; NULL: that of their dialect */
    const char *codes;         /* a folder of `llmcf codes`, for a wording that speaks of them */
    size_t threads;
    bool force;
} lcf_judge_options;
#define LCF_JUDGE_OPTIONS_INIT                                                                    \
    {                                                                                             \
        NULL, NULL, NULL, {true, false, false}, 1.0, 1.0, 1, LCF_PROMPT_OPTIONS_INIT, NULL, NULL, \
            0, false                                                                              \
    }

/*
 * *stats receives the counts, each split's AUC and UAUC and the cost (json_decref), *current
 * whether nothing had to be done.
 *
 * errors   EUSAGE a template that asks nothing, codes that are missing or have no use;
 *           ECANCELED a signal: finished parts are kept; EINVAL no row; those of the files
 */
lcf_status lcf_judge_step(json_t **stats, bool *current, const lcf_judge_options *options,
                          lcf_err *err);

#endif
