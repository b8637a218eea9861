/*
 * Training a LLaMA: the same network on the tape, full-parameter AdamW, data-parallel over fixed
 * shards.
 *
 * A step takes `batch` sequences, splits them into `shards` groups with a tape and a gradient block
 * each, adds the gradients in shard order, clips, and updates. The result depends on the shards,
 * not on the threads: the same seed gives the same bits on any number of threads, and train 100 =
 * train 50, stop, resume 50.
 */
#ifndef LCF_OFFLINE_LLAMA_LLAMA_TRAIN_H
#define LCF_OFFLINE_LLAMA_LLAMA_TRAIN_H

#include "common/base/pool.h"
#include "common/nn/optim.h"
#include "common/nn/tape.h"
#include "offline/llama/llama.h"

typedef struct lcf_llama_trainer lcf_llama_trainer;

typedef struct lcf_llama_train_options {
    uint64_t seed;
    size_t shards; /* sequences of a step are split into this many groups; fixed, whatever the
                      threads */
    float peak_lr, floor_lr, weight_decay, clip_norm;
    uint64_t warmup_steps, total_steps;
} lcf_llama_train_options;
#define LCF_LLAMA_TRAIN_OPTIONS_INIT             \
    {                                            \
        1, 4, 1e-3f, 0.1f, 0.01f, 1.0f, 50, 1000 \
    }

/* One training sequence. targets[i] is the id expected after tokens[i], or -1 where the loss does
 * not count (prompt). */
typedef struct lcf_train_seq {
    const uint32_t *tokens;
    const int32_t *targets;
    const uint32_t
        *segments; /* NULL: one row; else rows packed into one sequence, no attention across them */
    const uint32_t *positions; /* NULL: 0 .. n - 1; else restarting with each packed row */
    size_t n;
} lcf_train_seq;

/* A new model with random weights (config->vocab_n must be the tokenizer's). The tokenizer stays
 * the caller's. */
lcf_status lcf_llama_trainer_create(lcf_llama_trainer **out, const lcf_llama_config *config,
                                    const lcf_llama_train_options *options, lcf_err *err);
/* The weights of an open model as the start (continued tuning). */
lcf_status lcf_llama_trainer_from(lcf_llama_trainer **out, const lcf_llama *m,
                                  const lcf_llama_train_options *options, lcf_err *err);
void lcf_llama_trainer_free(lcf_llama_trainer *t);
lcf_params *lcf_llama_trainer_params(lcf_llama_trainer *t);
uint64_t lcf_llama_trainer_step_n(const lcf_llama_trainer *t);
/* The gradient of the last step, before clipping; laid out like the parameters. */
const lcf_grads *lcf_llama_trainer_grads(const lcf_llama_trainer *t);

/*
 * One optimizer step over n sequences, of any lengths: nothing is padded. *loss is the mean over
 * counted targets.
 *
 * errors   EDIVERGED loss or gradient not finite; EINVAL an id or target beyond the vocabulary, or
 * no target at all; ENOMEM. Weights and optimizer are then unchanged.
 */
lcf_status lcf_llama_trainer_step(double *loss, lcf_llama_trainer *t, const lcf_train_seq *seqs,
                                  size_t n, lcf_pool *pool, lcf_err *err);
/* From now on the learning rate is that of a run of `total_steps` (at least 1): a run with a time
 * limit fits its schedule to the speed it finds. */
void lcf_llama_trainer_plan(lcf_llama_trainer *t, uint64_t total_steps);
/* Sum of -log p over counted targets and their number: for perplexity. No update. */
lcf_status lcf_llama_trainer_eval(double *nll, uint64_t *targets_n, lcf_llama_trainer *t,
                                  const lcf_train_seq *seqs, size_t n, lcf_pool *pool,
                                  lcf_err *err);
/* The current weights as a model for saving or decoding: a view that lives as long as the trainer;
 * borrows tokenizer. */
lcf_status lcf_llama_trainer_model(lcf_llama *out, lcf_llama_trainer *t, lcf_tokenizer *tokenizer,
                                   lcf_err *err);
/* Releases what lcf_llama_trainer_model allocated (the layer table). */
void lcf_llama_trainer_model_dispose(lcf_llama *m);
/* Weights, optimizer and step; load restores exactly. The shapes must be those of the trainer. */
lcf_status lcf_llama_trainer_save(const lcf_llama_trainer *t, const char *path, lcf_err *err);
lcf_status lcf_llama_trainer_load(lcf_llama_trainer *t, const char *path, lcf_err *err);

#endif
