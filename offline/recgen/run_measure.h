/*
 * Measuring any GGUF model: what it answers, what it would have written, and what it knows, on
 * held- out rows.
 *
 * source   schemas/measures.md
 */
#ifndef LCF_OFFLINE_RECGEN_RUN_MEASURE_H
#define LCF_OFFLINE_RECGEN_RUN_MEASURE_H

#include "offline/recgen/measure.h"
#include "offline/recgen/yes_no.h"

typedef struct lcf_measure_step_options {
    const char *model, *out;
    const char *dataset; /* NULL: no AUC and no CoT perplexity */
    const char *yes_no;  /* an Alpaca file whose answers begin with Yes or No; NULL: none */
    lcf_yes_no_pair pair;
    lcf_sources_options sources; /* their held-out rows are measured; seed as in tuning */
    lcf_mixture_options mixture; /* its cutoff */
    lcf_measure_options measure;
    size_t threads;
    bool force;
} lcf_measure_step_options;
void lcf_measure_step_options_init(lcf_measure_step_options *options);

/*
 * Writes OUT/measures.json, OUT/yes_no.tsv (schemas/scores.md) where there are such rows, and
 * manifest.json. *report is measures.json (json_decref).
 */
lcf_status lcf_measure_step(json_t **report, bool *current, const lcf_measure_step_options *options,
                            lcf_err *err);

#endif
