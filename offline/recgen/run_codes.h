/*
 * The codes step: a trained binmf or binlightgcn -> its users' and items' codes, as an artefact
 * folder: codes.lcf, manifest.json.
 *
 * source   schemas/codes.md
 */
#ifndef LCF_OFFLINE_RECGEN_RUN_CODES_H
#define LCF_OFFLINE_RECGEN_RUN_CODES_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct lcf_codes_options {
    const char *dataset, *ranker, *out; /* ranker: a weights file */
    const char *tokenizer;              /* a GGUF to count tokens with, or NULL */
    bool force;
} lcf_codes_options;

/*
 * *stats receives the counts (json_decref), *current whether nothing had to be done.
 *
 * errors   EINVAL the ranker has no codes, codes of a length that is no multiple of 8, or is of
 * another dataset; those of the files
 */
lcf_status lcf_codes_step(json_t **stats, bool *current, const lcf_codes_options *options,
                          lcf_err *err);

#endif
