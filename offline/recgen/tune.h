/*
 * Tuning: dataset -> RecGen-LLaMA (recgen.gguf), the whole step behind `llmcf tune`.
 *
 * A run keeps its checkpoints in "<out>.work/" and resumes from the last one when it is started
 * again in the same way; the artefact appears under `out` when it is complete. Stopped and resumed
 * gives the same bytes as undisturbed, at any thread count; only a time limit makes the result
 * depend on the machine. Several processes (train.comm) make the steps together, each computing its
 * own groups of rows; the first one alone writes.
 *
 * source   schemas/recgen.md
 */
#ifndef LCF_OFFLINE_RECGEN_TUNE_H
#define LCF_OFFLINE_RECGEN_TUNE_H

#include "common/base/manifest.h"
#include "offline/llama/llama_train.h"
#include "offline/recgen/measure.h"

typedef struct lcf_tune_options {
    const char *dataset; /* may be NULL where every source is a file */
    const char *out;
    const char *base; /* GGUF to go on from, or NULL: a new model */
    /* A new model; 0 takes the value that goes with dim. */
    size_t dim, layers_n, heads_n, kv_heads_n, ffn_dim, vocab_n, context_n;
    lcf_gguf_type type;          /* of the matrices in the written file */
    lcf_sources_options sources; /* their seed is the one below */
    lcf_mixture_options mixture;
    size_t batch_rows; /* of a group; a step has `accumulate` groups in every process */
    size_t accumulate;
    lcf_llama_train_options train; /* seed and total_steps are those of the run */
    const char *adapter; /* GGUF to start from: it says rank, alpha and targets; or NULL */
    uint64_t steps, checkpoint_every;
    double minutes; /* make only the steps that fit; 0 = no limit */
    lcf_measure_options measure;
    uint64_t seed;
    size_t threads;
    bool force;
    bool reuse;   /* keep a model that was made in this way from another dataset */
    bool dry_run; /* look at the mixture; train and write nothing */
} lcf_tune_options;

/* The defaults: what the demo runs. */
void lcf_tune_options_init(lcf_tune_options *options);

typedef struct lcf_tune_result {
    bool current; /* nothing was done: the artefact is up to date, its report gives the figures */
    bool reused;  /* likewise, but it was made from another dataset */
    uint64_t steps, tokens;
    double seconds;                    /* of training in this process */
    lcf_recgen_measures before, after; /* a run with dry_run has neither */
    json_t *mixture;                   /* as in the report */
} lcf_tune_result;
void lcf_tune_result_dispose(lcf_tune_result *result);

/*
 * With LoRA the artefact holds the merged recgen.gguf and adapter.gguf.
 *
 * errors   ECANCELED a signal (checkpoint saved: run again to go on); EDIVERGED loss not finite
 * (the last checkpoint stands); EBUSY another run works on the same artefact; those of the files
 */
lcf_status lcf_tune(lcf_tune_result *result, const lcf_tune_options *options, lcf_err *err);

#endif
