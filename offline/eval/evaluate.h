/*
 * The step behind `llmcf evaluate`: two ranker folders in, a report folder out.
 */
#ifndef LCF_OFFLINE_EVAL_EVALUATE_H
#define LCF_OFFLINE_EVAL_EVALUATE_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/eval/compare.h"
#include "offline/eval/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_evaluate_options {
    const char *arm_dir[2];     /* A and B: rankers (folders with <split>.lcf) or files of scores */
    const char *dataset_dir;    /* for slices; NULL is fine */
    const char *out_dir;        /* the report */
    const char *split;          /* "valid" or "test" */
    const char *const *require; /* [require_n] gate conditions */
    size_t require_n;
    const char *retrieved_dir;   /* slices by examples; NULL is fine; needs the dataset */
    const char *const *slice_by; /* [slice_by_n] "FILE:COLUMN" for more slices; need the dataset */
    size_t slice_by_n;
    lcf_table_allow allow;
    lcf_stream_method stream;    /* for plain files larger than memory */
    const char *latency_file[2]; /* answers of each arm (latency.h); NULL is fine */
    size_t replicates_n;         /* of the bootstrap */
    size_t permutations_n;       /* 0: no permutation test */
    const char *vectors_dir; /* vectors of the dataset's items, for the diversity of lists; NULL is
                                fine */
    size_t list_k;           /* where lists end; 0: no lists */
    size_t self_test_n;      /* resamples of the A/A self-test; 0: none */
    uint64_t seed;
    bool seeds_fixed;
    size_t threads; /* 0: all processors */
    bool force;
} lcf_evaluate_options;

#define LCF_EVALUATE_OPTIONS_INIT                                                              \
    {                                                                                          \
        .split = "test", .replicates_n = 2000, .permutations_n = 1000, .list_k = 10, .seed = 1 \
    }

/*
 * Compares, writes report.json, report.md, report.html and manifest.json, and checks the gate. A
 * report of the same inputs and options that is there already is read instead of made again; its
 * gate is checked all the same.
 *
 * returns  *out the report as JSON also with EGATE; *current (may be NULL) true when nothing was
 *          made
 * errors   EGATE a condition is not met (the report is written, the message names it); EUSAGE a
 *          condition that cannot be read; EFORMAT arms that cannot be compared (the row is named),
 *          damaged predictions; ENOENT, EIO, ENOMEM; ECANCELED
 * memory   the caller owns *out (json_decref)
 */
lcf_status lcf_evaluate(json_t **out, bool *current, const lcf_evaluate_options *options,
                        lcf_err *err);

/* Appends a sentence of the names that a gate may use, without its full stop. */
void lcf_evaluate_figure_names(lcf_buf *out);

#endif
