/* Options of training a language model; see the header. */
#include "offline/cmd/method_options.h"

#include "common/base/cli.h"
#include "common/base/progress.h"

enum {
    OPT_OBJECTIVE = 0x300,
    OPT_LR,
    OPT_LR_FLOOR,
    OPT_WARMUP,
    OPT_SCHEDULE,
    OPT_OPTIMIZER,
    OPT_MOMENTUM,
    OPT_DECAY,
    OPT_CLIP,
    OPT_ACCUMULATE,
    OPT_PRECISION,
    OPT_RECOMPUTE,
    OPT_FREEZE,
    OPT_LORA_RANK,
    OPT_LORA_ALPHA,
    OPT_LORA_DROPOUT,
    OPT_LORA_TARGETS,
    OPT_ADAPTER,
};

static const struct argp_option OPTIONS[] = {
    {"objective", OPT_OBJECTIVE, "NAME", 0,
     "cross-entropy (of the next token), or bce: binary cross-entropy of the logit of Yes, in "
     "sources that answer Yes or No (default cross-entropy)",
     1},
    {"lr", OPT_LR, "RATE", 0, "Peak learning rate (default 0.003)", 1},
    {"lr-floor", OPT_LR_FLOOR, "SHARE", 0, "Of the peak at the end of a schedule (default 0.1)", 1},
    {"warmup", OPT_WARMUP, "STEPS", 0, "Linear warm-up (default 30)", 1},
    {"schedule", OPT_SCHEDULE, "NAME", 0, "After it: cosine, linear or constant (default cosine)",
     1},
    {"optimizer", OPT_OPTIMIZER, "NAME", 0, "adamw or sgd (default adamw)", 1},
    {"momentum", OPT_MOMENTUM, "SHARE", 0, "Of sgd (default 0.9)", 1},
    {"weight-decay", OPT_DECAY, "RATE", 0, "On matrices, not on norms (default 0.01)", 1},
    {"clip", OPT_CLIP, "NORM", 0, "Largest gradient norm; 0 clips nothing (default 1)", 1},
    {"accumulate", OPT_ACCUMULATE, "N", 0, "Groups of --batch rows in a step (default 1)", 1},
    {"precision", OPT_PRECISION, "NAME", 0,
     "Of products: f32, or bf16 with f32 weights and sums; a processor without bf16 products "
     "takes f32 (default f32)",
     1},
    {"recompute", OPT_RECOMPUTE, NULL, 0,
     "Keep the layers' inputs alone and compute the rest again: less memory, the same result", 1},
    {"freeze-embeddings", OPT_FREEZE, NULL, 0, "Leave the table and the output matrix alone", 1},
    {"lora-rank", OPT_LORA_RANK, "N", 0, "Train LoRA adapters of this rank (default 0: all)", 2},
    {"lora-alpha", OPT_LORA_ALPHA, "A", 0, "They count alpha / rank (default 16)", 2},
    {"lora-dropout", OPT_LORA_DROPOUT, "P", 0, "On their inputs (default 0)", 2},
    {"lora-targets", OPT_LORA_TARGETS, "NAMES", 0,
     "Matrices with an adapter: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down, "
     "commas between, * for any text (default attn_q,attn_v)",
     2},
    {"adapter", OPT_ADAPTER, "FILE.gguf", 0,
     "Go on from this adapter: it says rank, alpha and matrices", 2},
    {0},
};

/* bf16 is refused nowhere: f32 does the same with more time. */
static lcf_precision precision_of(size_t choice)
{
    if (choice == 0)
        return LCF_PRECISION_F32;
    if (lcf_bf16_fast())
        return LCF_PRECISION_BF16;
    lcf_log(LCF_LOG_WARN, "precision wanted=bf16 taken=f32 reason='no AVX512-BF16 here'");
    return LCF_PRECISION_F32;
}

static error_t parse_lora(int key, char *text, struct argp_state *state,
                          const lcf_method_arguments *a)
{
    lcf_lora_options *lora = &a->train->lora;

    switch (key) {
    case OPT_LORA_RANK:
        lora->rank = (size_t)lcf_cli_u64(state, "lora-rank", text, 0, 4096);
        return 0;
    case OPT_LORA_ALPHA:
        lora->alpha = (float)lcf_cli_f64(state, "lora-alpha", text, 0.0, 1e6);
        return 0;
    case OPT_LORA_DROPOUT:
        lora->dropout = (float)lcf_cli_f64(state, "lora-dropout", text, 0.0, 0.99);
        return 0;
    case OPT_LORA_TARGETS:
        lora->targets = text;
        return 0;
    case OPT_ADAPTER:
        *a->adapter = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    const lcf_method_arguments *a = state->input;
    lcf_llama_train_options *o = a->train;

    switch (key) {
    case OPT_OBJECTIVE:
        o->objective = (lcf_train_objective)lcf_cli_choice(state, "objective", text,
                                                           "cross-entropy", "bce", NULL);
        return 0;
    case OPT_LR:
        o->peak_lr = (float)lcf_cli_f64(state, "lr", text, 0.0, 10.0);
        return 0;
    case OPT_LR_FLOOR:
        o->floor_lr = (float)lcf_cli_f64(state, "lr-floor", text, 0.0, 1.0);
        return 0;
    case OPT_WARMUP:
        o->warmup_steps = lcf_cli_u64(state, "warmup", text, 0, 1u << 30);
        return 0;
    case OPT_SCHEDULE:
        o->schedule = (lcf_lr_schedule)lcf_cli_choice(state, "schedule", text, "cosine", "linear",
                                                      "constant", NULL);
        return 0;
    case OPT_OPTIMIZER:
        o->optimizer =
            (lcf_train_optimizer)lcf_cli_choice(state, "optimizer", text, "adamw", "sgd", NULL);
        return 0;
    case OPT_MOMENTUM:
        o->momentum = (float)lcf_cli_f64(state, "momentum", text, 0.0, 0.9999);
        return 0;
    case OPT_DECAY:
        o->weight_decay = (float)lcf_cli_f64(state, "weight-decay", text, 0.0, 10.0);
        return 0;
    case OPT_CLIP:
        o->clip_norm = (float)lcf_cli_f64(state, "clip", text, 0.0, 1e9);
        return 0;
    case OPT_ACCUMULATE:
        *a->accumulate = (size_t)lcf_cli_u64(state, "accumulate", text, 1, 65536);
        return 0;
    case OPT_PRECISION:
        o->precision = precision_of(lcf_cli_choice(state, "precision", text, "f32", "bf16", NULL));
        return 0;
    case OPT_RECOMPUTE:
        o->checkpointing = true;
        return 0;
    case OPT_FREEZE:
        o->freeze_embeddings = true;
        return 0;
    default:
        return parse_lora(key, text, state, a);
    }
}

const struct argp LCF_METHOD_ARGP = {OPTIONS, parse, NULL, NULL, NULL, NULL, NULL};
