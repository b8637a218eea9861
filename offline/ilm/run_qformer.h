/*
 * The qformer step: dataset and collaborative vectors -> a Q-Former of phase 1, as an artefact
 * folder: qformer.lcf (weights), tokenizer.gguf (when it was learned here), report.json,
 * manifest.json.
 *
 * source   schemas/qformer.md, schemas/qformer_report.md
 */
#ifndef LCF_OFFLINE_ILM_RUN_QFORMER_H
#define LCF_OFFLINE_ILM_RUN_QFORMER_H

#include "offline/ilm/phase1.h"

#include <jansson.h>

typedef struct lcf_qformer_options {
    const char *dataset, *out;
    const char *ranker;        /* a weights file, or NULL: spectral vectors (vectors.h) */
    const char *model;         /* a GGUF whose tokenizer is taken, or NULL: */
    uint32_t vocab;            /* pieces to be learned from the training items' texts */
    lcf_qformer_config config; /* item_dim, vocab and item_scale are filled */
    phase1_params params;
    bool force;
} lcf_qformer_options;

#define LCF_QFORMER_OPTIONS_INIT                                                       \
    {                                                                                  \
        .vocab = 2048, .config = LCF_QFORMER_CONFIG_INIT, .params = PHASE1_PARAMS_INIT \
    }

/*
 * *report receives the report (json_decref), *current whether nothing had to be done.
 *
 * errors   as phase1_train; EINVAL the ranker is of another dataset or has no vectors; those of the
 *          files
 */
lcf_status lcf_qformer_step(json_t **report, bool *current, const lcf_qformer_options *options,
                            lcf_err *err);

#endif
