/*
 * Training a LLaMA: full-parameter or LoRA, AdamW or SGD, f32 or bf16 products with f32 weights.
 *
 * A step takes sequences in one or more groups (gradient accumulation), cuts each group into
 * micro-batches, adds their gradients in order, clips, and updates. All threads work on one
 * micro-batch. The same seed gives the same bits on any number of threads, and train 100 = train
 * 50, stop, resume 50. Processes of a data-parallel run (train_comm.h) each take groups of their
 * own; a step then is the sum over all of them.
 */
#ifndef LCF_OFFLINE_LLAMA_LLAMA_TRAIN_H
#define LCF_OFFLINE_LLAMA_LLAMA_TRAIN_H

#include "common/base/pool.h"
#include "common/math/product.h"
#include "common/nn/optim.h"
#include "common/nn/tape.h"
#include "offline/llama/llama.h"
#include "offline/llama/train_comm.h"

typedef struct lcf_llama_trainer lcf_llama_trainer;

typedef enum lcf_train_optimizer { LCF_TRAIN_ADAMW, LCF_TRAIN_SGD } lcf_train_optimizer;

/*
 * What is made small at a target. Softmax cross-entropy is -log p of the target. Binary
 * cross-entropy knows two answers: that it is the piece `positive` or that it is not, by the
 * logistic function of this piece's logit, the other pieces left aside (computed in f32 whatever
 * the precision).
 *
 * source   Zhang et al. 2024 (BinLLM), whose code takes the logit of Yes so
 */
typedef enum lcf_train_objective {
    LCF_TRAIN_CROSS_ENTROPY,
    LCF_TRAIN_BINARY_CROSS_ENTROPY
} lcf_train_objective;

/* source: Hu et al. 2021; initial values as in PEFT (A uniform of Kaiming's variance, B zero) */
typedef struct lcf_lora_options {
    size_t rank; /* 0: all parameters are trained */
    float alpha; /* products count alpha / rank */
    float dropout;
    const char *targets; /* names of matrices, separated by commas, `*` for any text: attn_q,attn_v;
                            ffn_* */
} lcf_lora_options;

typedef struct lcf_llama_train_options {
    uint64_t seed;
    lcf_train_optimizer optimizer;
    lcf_train_objective objective;
    uint32_t positive; /* of binary cross-entropy */
    lcf_lr_schedule schedule;
    float peak_lr, floor_lr, weight_decay, clip_norm, momentum; /* momentum: of SGD */
    uint64_t warmup_steps, total_steps;
    lcf_precision precision;
    bool checkpointing;     /* of activations: less memory, a third more time, the same bits */
    bool freeze_embeddings; /* the table and the output matrix stay as they are */
    bool frozen; /* without adapters: nothing of the model is trained, soft tokens get gradients */
    lcf_lora_options lora;
    lcf_comm *comm; /* NULL: one process */
} lcf_llama_train_options;
#define LCF_LLAMA_TRAIN_OPTIONS_INIT                                                             \
    {                                                                                            \
        .seed = 1, .peak_lr = 1e-3f, .floor_lr = 0.1f, .weight_decay = 0.01f, .clip_norm = 1.0f, \
        .momentum = 0.9f, .warmup_steps = 50, .total_steps = 1000, .lora = {                     \
            .alpha = 16.0f,                                                                      \
            .targets = "attn_q,attn_v"                                                           \
        }                                                                                        \
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

/* Soft tokens, and where their gradients go; all the caller's. */
typedef struct lcf_train_soft {
    lcf_soft_tokens tokens;
    float *grads; /* [n, dim] d (sum of -log p) / d row is added; NULL: none */
} lcf_train_soft;

/* A new model with random weights (config->vocab_n must be the tokenizer's). The tokenizer stays
 * the caller's. */
lcf_status lcf_llama_trainer_create(lcf_llama_trainer **out, const lcf_llama_config *config,
                                    const lcf_llama_train_options *options, lcf_err *err);
/* The weights of an open model as the start (continued tuning). */
lcf_status lcf_llama_trainer_from(lcf_llama_trainer **out, const lcf_llama *m,
                                  const lcf_llama_train_options *options, lcf_err *err);
void lcf_llama_trainer_free(lcf_llama_trainer *t);
/* What is trained: all parameters, without the embeddings where they are frozen, or the adapters.
 */
lcf_params *lcf_llama_trainer_params(lcf_llama_trainer *t);
/* A weight by its name in GGUF, trained or frozen; NULL when there is none. */
const float *lcf_llama_trainer_weight(const lcf_llama_trainer *t, const char *name);
/* Of the model, and how many of them are trained (with an adapter: its own). */
void lcf_llama_trainer_count(size_t *all, size_t *trained, const lcf_llama_trainer *t);
uint64_t lcf_llama_trainer_step_n(const lcf_llama_trainer *t);
/* The gradient of the last step summed over its targets, before clipping; laid out like the
 * parameters. */
const lcf_grads *lcf_llama_trainer_grads(const lcf_llama_trainer *t);

/*
 * One optimizer step over n sequences, of any lengths: nothing is padded. *loss is the mean over
 * counted targets. The same as accumulate, once and last, and apply.
 *
 * errors   EDIVERGED loss or gradient not finite; EINVAL an id or target beyond the vocabulary, or
 * no target at all; ENOMEM. Weights and optimizer are then unchanged.
 */
lcf_status lcf_llama_trainer_step(double *loss, lcf_llama_trainer *t, const lcf_train_seq *seqs,
                                  size_t n, lcf_pool *pool, lcf_err *err);
/* Adds the gradient of a group of sequences to the step's. `group` tells the groups of a step apart
 * (for dropout), over all processes. last: no other follows in this process; sums over processes
 * then begin while the rest of the gradient is computed. */
lcf_status lcf_llama_trainer_accumulate(lcf_llama_trainer *t, const lcf_train_seq *seqs, size_t n,
                                        size_t group, bool last, lcf_pool *pool, lcf_err *err);
/* The update that ends a step. */
lcf_status lcf_llama_trainer_apply(double *loss, lcf_llama_trainer *t, lcf_pool *pool,
                                   lcf_err *err);
/* The soft tokens of the calls to come, in place of those before. Their gradients are of this
 * process's sequences and not divided by the number of targets. */
void lcf_llama_trainer_soft(lcf_llama_trainer *t, const lcf_train_soft *soft);
/* From now on the learning rate is that of a run of `total_steps` (at least 1): a run with a time
 * limit fits its schedule to the speed it finds. */
void lcf_llama_trainer_plan(lcf_llama_trainer *t, uint64_t total_steps);
/* Sum of the loss (-log p) over counted targets and their number: for perplexity. No update. */
lcf_status lcf_llama_trainer_eval(double *nll, uint64_t *targets_n, lcf_llama_trainer *t,
                                  const lcf_train_seq *seqs, size_t n, lcf_pool *pool,
                                  lcf_err *err);
/* The current weights as a model for saving or decoding: a view that lives as long as the trainer;
 * borrows tokenizer. Adapters are merged into copies of their matrices. */
lcf_status lcf_llama_trainer_model(lcf_llama *out, lcf_llama_trainer *t, lcf_tokenizer *tokenizer,
                                   lcf_err *err);
/* Releases what lcf_llama_trainer_model allocated (the layer table, merged matrices). */
void lcf_llama_trainer_model_dispose(lcf_llama *m);
/* What is trained, optimizer and step; load restores exactly.
 * errors of load: EFORMAT another model, base, method or optimizer (named) */
lcf_status lcf_llama_trainer_save(const lcf_llama_trainer *t, const char *path, lcf_err *err);
lcf_status lcf_llama_trainer_load(lcf_llama_trainer *t, const char *path, lcf_err *err);

#endif
