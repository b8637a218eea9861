/* Options of training a language model; see the header. */
#include "offline/cmd/method_options.h"

#include "offline/cmd/rows.h"

typedef lcf_tune_options arguments;

const lcf_option lcf_method_rows[] = {
    {"objective", "NAME",
     "cross-entropy (of the next token), or bce: binary cross-entropy of the logit of Yes, in "
     "sources that answer Yes or No (default cross-entropy)",
     1,
     LCF_OPT_CHOICE(train.objective, {"cross-entropy", LCF_TRAIN_CROSS_ENTROPY},
                    {"bce", LCF_TRAIN_BINARY_CROSS_ENTROPY})},
    {"lr", "RATE", "Peak learning rate (default 0.003)", 1, LCF_OPT_REAL(train.peak_lr, 0.0, 10.0)},
    {"lr-floor", "SHARE", "Of the peak at the end of a schedule (default 0.1)", 1,
     LCF_OPT_REAL(train.floor_lr, 0.0, 1.0)},
    {"warmup", "STEPS", "Linear warm-up (default 30)", 1,
     LCF_OPT_WHOLE(train.warmup_steps, 0, 1u << 30)},
    {"schedule", "NAME", "After it: cosine, linear or constant (default cosine)", 1,
     LCF_OPT_SCHEDULE(train.schedule)},
    {"optimizer", "NAME", "adamw or sgd (default adamw)", 1,
     LCF_OPT_CHOICE(train.optimizer, {"adamw", LCF_TRAIN_ADAMW}, {"sgd", LCF_TRAIN_SGD})},
    {"momentum", "SHARE", "Of sgd (default 0.9)", 1, LCF_OPT_REAL(train.momentum, 0.0, 0.9999)},
    {"weight-decay", "RATE", "On matrices, not on norms (default 0.01)", 1,
     LCF_OPT_REAL(train.weight_decay, 0.0, 10.0)},
    {"clip", "NORM", "Largest gradient norm; 0 clips nothing (default 1)", 1,
     LCF_OPT_REAL(train.clip_norm, 0.0, 1e9)},
    {"accumulate", "N", "Groups of --batch rows in a step (default 1)", 1,
     LCF_OPT_WHOLE(accumulate, 1, 65536)},
    {"precision", "NAME",
     "Of products: f32, or bf16 with f32 weights and sums; a processor without bf16 products takes "
     "f32 (default f32)",
     1, LCF_OPT_PARSED(train.precision, lcf_cmd_parse_precision)},
    {"recompute", NULL,
     "Keep the layers' inputs alone and compute the rest again: less memory, the same result", 1,
     LCF_OPT_FLAG(train.checkpointing)},
    {"freeze-embeddings", NULL, "Leave the table and the output matrix alone", 1,
     LCF_OPT_FLAG(train.freeze_embeddings)},
    {"lora-rank", "N", "Train LoRA adapters of this rank (default 0: all)", 2,
     LCF_OPT_WHOLE(train.lora.rank, 0, 4096)},
    {"lora-alpha", "A", "They count alpha / rank (default 16)", 2,
     LCF_OPT_REAL(train.lora.alpha, 0.0, 1e6)},
    {"lora-dropout", "P", "On their inputs (default 0)", 2,
     LCF_OPT_REAL(train.lora.dropout, 0.0, 0.99)},
    {"lora-targets", "NAMES",
     "Matrices with an adapter: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down, "
     "commas between, * for any text (default attn_q,attn_v)",
     2, LCF_OPT_TEXT(train.lora.targets)},
    {"adapter", "FILE.gguf", "Go on from this adapter: it says rank, alpha and matrices", 2,
     LCF_OPT_TEXT(adapter)},
    {0},
};
