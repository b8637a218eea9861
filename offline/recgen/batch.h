/*
 * The generation job as files: requests in the form of OpenAI's Batch API, for whoever answers
 * whole files (OpenAI, vLLM's run-batch), and their responses back into a store.
 *
 * A request's custom_id is the key of the record that its answer becomes, so responses are joined
 * in any order, from any number of files, whole or partial, once or several times.
 *
 * source   schemas/requests.md
 */
#ifndef LCF_OFFLINE_RECGEN_BATCH_H
#define LCF_OFFLINE_RECGEN_BATCH_H

#include "offline/recgen/generate.h"

typedef struct lcf_export_options {
    lcf_generate_options job; /* rows, prompts, sampling, the model's name; `out`: the folder */
    size_t requests_max;      /* of one file */
    uint64_t bytes_max;       /* of one file */
    bool force;
} lcf_export_options;
#define LCF_EXPORT_REQUESTS_MAX 50000 /* what OpenAI takes */
#define LCF_EXPORT_BYTES_MAX ((uint64_t)200 << 20)

typedef struct lcf_export_result {
    bool current; /* nothing was done: the artefact is up to date */
    uint64_t rows_chosen, rows_present, requests_n, files_n, bytes_n;
} lcf_export_result;

/*
 * Writes requests-00001.jsonl, ... and job.json, which import needs, as an artefact folder.
 *
 * errors   ELIMIT one request alone is larger than a file may be; those of the files
 */
lcf_status lcf_export_requests(lcf_export_result *result, const lcf_export_options *options,
                               lcf_err *err);

typedef struct lcf_import_options {
    const char *dataset, *requests, *out; /* requests: what lcf_export_requests made */
    const char *const *responses;         /* [responses_n] JSON lines, plain or zstd */
    size_t responses_n;
} lcf_import_options;

typedef struct lcf_import_result {
    uint64_t lines_n;
    uint64_t imported_n, rejected_n; /* records made; of these, without a good candidate */
    uint64_t present_n;              /* answers of rows that had a record */
    uint64_t failed_n;    /* lines that tell of an error; their rows can be asked again */
    uint64_t unknown_n;   /* custom_id is no row of this job */
    uint64_t malformed_n; /* no response lines, or torn off */
    uint64_t tokens_n;
    char failure[256], malformed[256]; /* the first of each, for people */
} lcf_import_result;

/*
 * Records are committed in chunks: killed, whole chunks are there or missing, and the same command
 * goes on.
 *
 * errors   EFORMAT requests is no such folder, of another version; ECANCELED a signal; those of the
 * files
 */
lcf_status lcf_import_responses(lcf_import_result *result, const lcf_import_options *options,
                                lcf_err *err);

#endif
