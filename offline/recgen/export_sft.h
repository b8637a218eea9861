/*
 * A mixture for somebody else's trainer: the rows that tuning would draw, as files of instructions
 * and of conversations, with the entry that LLaMA-Factory finds them by.
 *
 * source   schemas/sft.md
 */
#ifndef LCF_OFFLINE_RECGEN_EXPORT_SFT_H
#define LCF_OFFLINE_RECGEN_EXPORT_SFT_H

#include "offline/recgen/mixture.h"

#include <jansson.h>

typedef struct lcf_export_sft_options {
    const char *dataset; /* may be NULL where every source is a file */
    const char *out;
    lcf_sources_options sources;
    uint64_t rows; /* slots of the mixture; 0 = as many as the sources have rows */
    bool force;
} lcf_export_sft_options;

/*
 * Writes OUT/alpaca.json, sharegpt.json, dataset_info.json and manifest.json. *stats: rows by kind
 * of source (json_decref); *current: nothing had to be done.
 *
 * errors   EUSAGE a source of plain text, which is no instruction; those of the sources and files
 */
lcf_status lcf_export_sft(json_t **stats, bool *current, const lcf_export_sft_options *options,
                          lcf_err *err);

#endif
