/* llmcf qformer: phase 1 of ILM. Options only; the work is in offline/ilm/run_qformer.h. */
#include "offline/ilm/run_qformer.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_RANKER,
    OPT_OUT,
    OPT_MODEL,
    OPT_VOCAB,
    OPT_LOSSES,
    OPT_MIX,
    OPT_QUERIES,
    OPT_LAYERS,
    OPT_HIDDEN,
    OPT_HEADS,
    OPT_FFN,
    OPT_FEATURES,
    OPT_CROSS_EVERY,
    OPT_TEXT_MAX,
    OPT_DROPOUT,
    OPT_EPOCHS,
    OPT_PATIENCE,
    OPT_BATCH,
    OPT_LR,
    OPT_WARMUP,
    OPT_WEIGHT_DECAY,
    OPT_CLIP,
    OPT_SMOOTHING,
    OPT_SEED,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"ranker", OPT_RANKER, "FILE", 0,
     "Weights of `llmcf train` on it whose vectors of items and users are the collaborative "
     "vectors, such as mf/best.lcf; sasrec has none of users, so no uic",
     1},
    {"out", OPT_OUT, "DIR", 0, "The Q-Former; replaced in one step", 1},
    {"model", OPT_MODEL, "GGUF", 0,
     "Take this model's tokenizer for the texts; by default one is learned from them", 2},
    {"vocab", OPT_VOCAB, "N", 0, "Pieces of the tokenizer that is learned (default 2048)", 2},
    {"losses", OPT_LOSSES, "LIST", 0,
     "Of itc (item-text contrast), itm (item-text matching), itg (item-grounded text generation), "
     "iic (contrast of items that follow each other in a history), uic (of a user and an item); "
     "comma-separated (default itc,itm,itg,iic)",
     2},
    {"mix", OPT_MIX, "HOW", 0,
     "sum: all losses in every step; alternate: texts and each kind of pairs in turn (default sum)",
     2},
    {"queries", OPT_QUERIES, "K", 0, "Soft tokens of an item (default 8)", 3},
    {"layers", OPT_LAYERS, "N", 0, "Default 4", 3},
    {"hidden", OPT_HIDDEN, "N", 0, "Default 128", 3},
    {"heads", OPT_HEADS, "N", 0, "Default 4", 3},
    {"ffn", OPT_FFN, "N", 0, "Of the feed-forward layers (default 4 times --hidden)", 3},
    {"features", OPT_FEATURES, "N", 0, "Of the space of the contrasts (default 64)", 3},
    {"cross-every", OPT_CROSS_EVERY, "N", 0,
     "Every N-th layer looks at the collaborative vector (default 2)", 3},
    {"text-max", OPT_TEXT_MAX, "TOKENS", 0, "Longer texts are cut (default 32)", 3},
    {"dropout", OPT_DROPOUT, "SHARE", 0, "Default 0.1", 3},
    {"epochs", OPT_EPOCHS, "N", 0, "At most this many (default 60)", 4},
    {"patience", OPT_PATIENCE, "N", 0,
     "Stop after this many epochs without smaller losses on the validation items (default 10)", 4},
    {"batch", OPT_BATCH, "N", 0, "Items, and pairs, per step (default 64)", 4},
    {"lr", OPT_LR, "RATE", 0, "Learning rate of AdamW (default 0.0005)", 4},
    {"warmup", OPT_WARMUP, "STEPS", 0, "Default 50", 4},
    {"weight-decay", OPT_WEIGHT_DECAY, "X", 0, "Default 0.05", 4},
    {"clip", OPT_CLIP, "NORM", 0, "Of the gradient, 0: none (default 1)", 4},
    {"smoothing", OPT_SMOOTHING, "SHARE", 0, "Of the labels of itc and itg (default 0.1)", 4},
    {"seed", OPT_SEED, "N", 0, "Default 1", 4},
    {"threads", OPT_THREADS, "N", 0, "Default: one per processor; the result does not depend on it",
     5},
    {"force", OPT_FORCE, NULL, 0, "Train again although nothing changed", 5},
    {"json", OPT_JSON, NULL, 0, "Print the report as JSON on stdout", 5},
    {0},
};

static const char DOC[] =
    "Trains a Q-Former to read what collaborative filtering knows of an item: its queries come out "
    "as a few vectors that a language model can be given as soft tokens. This is phase 1 of ILM, "
    "without a language model."
    "\v"
    "Items are parted by a hash of their ids: a tenth for early stopping, a tenth to be reported, "
    "whose texts are not trained on. Pairs come from the training rows alone. Items that no "
    "training row names, and those without a text, are left out and counted.\n\n"
    "Writes DIR/qformer.lcf (schemas/qformer.md), tokenizer.gguf unless --model is given, "
    "report.json (schemas/qformer_report.md), manifest.json.\n\n"
    "Stopped by a signal (exit code 75) or killed, it keeps the last whole epoch in DIR.partial "
    "and goes on from there when called again.\n\n"
    "Example:\n"
    "  llmcf train --backbone mf --dataset dataset --out mf\n"
    "  llmcf qformer --dataset dataset --ranker mf/best.lcf --out qformer \\\n"
    "    --losses itc,itm,itg,iic";

typedef struct arguments {
    lcf_qformer_options qformer;
    bool json;
} arguments;

static unsigned parse_losses(struct argp_state *state, const char *text)
{
    unsigned losses = 0;

    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, ",");
        unsigned bit = 0;

        for (int i = 0; i < PHASE1_LOSSES_N; i++)
            if (strlen(PHASE1_LOSS_NAMES[i]) == n && !memcmp(PHASE1_LOSS_NAMES[i], at, n))
                bit = PHASE1_BIT(i);
        if (!bit)
            argp_error(state, "--losses: '%.*s' is none of itc, itm, itg, iic, uic", (int)n, at);
        losses |= bit;
        at += n + (at[n] == ',');
    }
    if (!losses)
        argp_error(state, "--losses: none is named");
    return losses;
}

static uint32_t u32(struct argp_state *state, const char *option, const char *text, uint64_t min,
                    uint64_t max)
{
    return (uint32_t)lcf_cli_u64(state, option, text, min, max);
}

static error_t parse_config(int key, char *text, struct argp_state *state, lcf_qformer_config *c)
{
    switch (key) {
    case OPT_QUERIES:
        c->queries = u32(state, "queries", text, 1, 1024);
        return 0;
    case OPT_LAYERS:
        c->layers = u32(state, "layers", text, 1, LCF_QFORMER_LAYERS_MAX);
        return 0;
    case OPT_HIDDEN:
        c->hidden = u32(state, "hidden", text, 1, 8192);
        return 0;
    case OPT_HEADS:
        c->heads = u32(state, "heads", text, 1, 256);
        return 0;
    case OPT_FFN:
        c->ffn = u32(state, "ffn", text, 1, 65536);
        return 0;
    case OPT_FEATURES:
        c->feature_dim = u32(state, "features", text, 1, 8192);
        return 0;
    case OPT_CROSS_EVERY:
        c->cross_every = u32(state, "cross-every", text, 1, LCF_QFORMER_LAYERS_MAX);
        return 0;
    case OPT_TEXT_MAX:
        c->text_max = u32(state, "text-max", text, 3, 4096);
        return 0;
    case OPT_DROPOUT:
        c->dropout = (float)lcf_cli_f64(state, "dropout", text, 0.0, 0.99);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_params(int key, char *text, struct argp_state *state, phase1_params *p)
{
    switch (key) {
    case OPT_LOSSES:
        p->losses = parse_losses(state, text);
        return 0;
    case OPT_MIX:
        p->alternate = lcf_cli_choice(state, "mix", text, "sum", "alternate", NULL) == 1;
        return 0;
    case OPT_EPOCHS:
        p->epochs_max = u32(state, "epochs", text, 1, PHASE1_EPOCHS_MAX);
        return 0;
    case OPT_PATIENCE:
        p->patience = u32(state, "patience", text, 1, PHASE1_EPOCHS_MAX);
        return 0;
    case OPT_BATCH:
        p->batch = u32(state, "batch", text, 4, 4096);
        return 0;
    case OPT_LR:
        p->learning_rate = lcf_cli_f64(state, "lr", text, 1e-9, 10.0);
        return 0;
    case OPT_WARMUP:
        p->warmup = u32(state, "warmup", text, 0, 1000000);
        return 0;
    case OPT_WEIGHT_DECAY:
        p->weight_decay = lcf_cli_f64(state, "weight-decay", text, 0.0, 1.0);
        return 0;
    case OPT_CLIP:
        p->clip = lcf_cli_f64(state, "clip", text, 0.0, 1e6);
        return 0;
    case OPT_SMOOTHING:
        p->smoothing = lcf_cli_f64(state, "smoothing", text, 0.0, 0.99);
        return 0;
    case OPT_SEED:
        p->seed = lcf_cli_u64(state, "seed", text, 0, UINT32_MAX);
        return 0;
    case OPT_THREADS:
        p->threads = (size_t)lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_qformer_options *o = &a->qformer;
    error_t handled;

    switch (key) {
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_RANKER:
        o->ranker = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case OPT_MODEL:
        o->model = text;
        return 0;
    case OPT_VOCAB:
        o->vocab = u32(state, "vocab", text, 259, 1000000);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->dataset || !o->ranker || !o->out)
            argp_error(state, "--dataset, --ranker and --out are needed");
        if (!o->config.ffn)
            o->config.ffn = 4 * o->config.hidden;
        return 0;
    default:
        handled = parse_config(key, text, state, &o->config);
        return handled == ARGP_ERR_UNKNOWN ? parse_params(key, text, state, &o->params) : handled;
    }
}

static double at(const json_t *object, const char *part, const char *key)
{
    return json_number_value(json_object_get(json_object_get(object, part), key));
}

static void print_measures(const char *name, const json_t *m)
{
    fprintf(stderr, "  %-14s %9.3f %9.3f %9.3f %9.3f %9.3f %11.3f\n", name,
            at(m, "item_to_text", "recall_1"), at(m, "item_to_text", "recall_10"),
            at(m, "text_to_item", "recall_1"), at(m, "text_to_item", "recall_10"),
            at(m, "losses", "itg"), json_number_value(json_object_get(m, "neighbours")));
}

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *data = json_object_get(report, "data"), *items = json_object_get(data, "items");

    fprintf(stderr, "%s: Q-Former of %lld queries, best epoch %lld of %zu\n", out,
            lcf_cmd_count(json_object_get(report, "model"), "queries"),
            lcf_cmd_count(report, "best_epoch"),
            json_array_size(json_object_get(report, "epochs")));
    fprintf(stderr,
            "  %lld items to train on, %lld and %lld kept; left out: %lld untrained, %lld "
            "without text\n",
            lcf_cmd_count(items, "train"), lcf_cmd_count(items, "valid"),
            lcf_cmd_count(items, "test"), lcf_cmd_count(data, "untrained"),
            lcf_cmd_count(data, "without_text"));
    fprintf(stderr, "  %-14s %9s %9s %9s %9s %9s %11s\n", "test items", "i->t @1", "i->t @10",
            "t->i @1", "t->i @10", "nats/tok", "neighbours");
    print_measures("random weights", json_object_get(report, "start"));
    print_measures("best epoch", json_object_get(report, "test"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force trains again)\n");
}

int lcf_cmd_qformer(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.qformer = LCF_QFORMER_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    a.qformer.config.ffn = 0; /* follows the hidden size unless it is given */
    status = lcf_cli_parse(&argp, "qformer", argc, argv, &a, &err);
    if (!status) {
        lcf_stop_install();
        status = lcf_qformer_step(&report, &current, &a.qformer, &err);
    }
    if (!status) {
        print_summary(report, a.qformer.out, current);
        if (a.json)
            status = lcf_cmd_print_json(report, &err);
    }
    json_decref(report);
    return lcf_cli_finish("qformer", status, &err);
}
