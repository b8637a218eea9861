/* llmcf train: rankers of one kind, one per seed. Options only; the work is in
 * offline/train/train.h. */
#include "offline/train/train.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/model/ranker.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_VECTORS,
    OPT_EXAMPLES,
    OPT_RETRIEVED,
    OPT_OUT,
    OPT_BACKBONE,
    OPT_SIDE,
    OPT_SEEDS,
    OPT_EPOCHS,
    OPT_PATIENCE,
    OPT_BATCH,
    OPT_LR,
    OPT_SIDE_LR,
    OPT_EMA,
    OPT_WEIGHT_DECAY,
    OPT_DROPOUT,
    OPT_REC_WEIGHT,
    OPT_PLATEAU,
    OPT_CLIP,
    OPT_DECAY,
    OPT_TABLE_UPDATES,
    OPT_INIT,
    OPT_INIT_DATASET,
    OPT_ORDER,
    OPT_HISTORY_LABELS,
    OPT_DISTILL,
    OPT_KNOWLEDGE,
    OPT_DISTILL_WEIGHT,
    OPT_DIM,
    OPT_GRAPH_LAYERS,
    OPT_CODE_SCALE,
    OPT_SOFT_EPOCHS,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "Made by `llmcf prepare`", 1},
    {"vectors", OPT_VECTORS, "DIR", 0, "Made by `llmcf encode`; where the side module needs it", 1},
    {"examples", OPT_EXAMPLES, "DIR", 0, "Made by `llmcf index`; likewise", 1},
    {"retrieved", OPT_RETRIEVED, "DIR", 0, "Made by `llmcf retrieve`; likewise", 1},
    {"knowledge", OPT_KNOWLEDGE, "DIR", 0, "Made by `llmcf knowledge`; likewise", 1},
    {"distill", OPT_DISTILL, "DIR", 0,
     "Made by `llmcf judge`: the ranker also learns what the language model answered", 1},
    {"init", OPT_INIT, "DIR", 0,
     "A warm start: begin with the weights of this earlier `llmcf train`; users, items, brands and "
     "categories that it did not know begin fresh",
     1},
    {"init-dataset", OPT_INIT_DATASET, "DIR", 0,
     "The dataset that --init was trained on: rows of tables are matched by external ids", 1},
    {"out", OPT_OUT, "DIR", 0, "The rankers; replaced in one step", 1},
    {"backbone", OPT_BACKBONE, "NAME", 0, "The model (default din):", 2},
    {"side", OPT_SIDE, "NAME", 0,
     "The side module whose vector the backbone takes as further features (default none):", 2},
    {"seeds", OPT_SEEDS, "LIST", 0, "One ranker for each, comma-separated (default 2023,2024,2025)",
     2},
    {"epochs", OPT_EPOCHS, "N", 0, "At most this many (default 30)", 2},
    {"patience", OPT_PATIENCE, "N", 0,
     "Stop after this many epochs without a better valid AUC (default 2)", 2},
    {"batch", OPT_BATCH, "ROWS", 0, "Rows per step (default 256)", 2},
    {"lr", OPT_LR, "RATE", 0,
     "Learning rate of Adam (default: what did best for the backbone, 0.003 for most)", 2},
    {"side-lr", OPT_SIDE_LR, "RATE", 0,
     "Learning rate of the side module's own parameters (default 0: as --lr)", 2},
    {"ema", OPT_EMA, "DECAY", 0,
     "Judge and keep an exponential average of the weights over the steps, such as 0.999, instead "
     "of the last ones (default 0: the last ones)",
     2},
    {"lr-plateau", OPT_PLATEAU, "FACTOR", 0,
     "Multiply the learning rate by this after an epoch that was not the best so far (default 1: "
     "never)",
     2},
    {"clip", OPT_CLIP, "NORM", 0, "Scale gradients down to this norm (default 0: never)", 2},
    {"weight-decay", OPT_WEIGHT_DECAY, "X", 0, "Strength of the decay (default: likewise, 1e-4)",
     2},
    {"decay", OPT_DECAY, "NAME", 0,
     "l2: in the gradient, as in the published results; decoupled: beside it, as AdamW (default "
     "l2)",
     2},
    {"table-updates", OPT_TABLE_UPDATES, "NAME", 0,
     "dense: every row of every table in every step, as torch.optim.Adam; sparse: only rows that "
     "the batch looked up, for very large tables (default dense)",
     2},
    {"dropout", OPT_DROPOUT, "SHARE", 0, "Of the head's hidden layers (default 0.1)", 2},
    {"rec-weight", OPT_REC_WEIGHT, "ALPHA", 0,
     "Weight of the side module's own loss, ICT's reconstruction; 0: without it (default 1)", 2},
    {"distill-weight", OPT_DISTILL_WEIGHT, "X", 0,
     "Of the loss against those answers (default 0.1)", 2},
    {"history-labels", OPT_HISTORY_LABELS, NULL, 0,
     "Items of a history carry whether the user liked them (--like of `llmcf prepare`)", 2},
    {"dim", OPT_DIM, "N", 0, "Of fields, tokens and codes; a multiple of 4 (default 32)", 2},
    {"graph-layers", OPT_GRAPH_LAYERS, "N", 0,
     "Of lightgcn and binlightgcn: steps along the graph of what training users liked (default 2)",
     2},
    {"code-scale", OPT_CODE_SCALE, "X", 0,
     "Of binmf and binlightgcn: the logit is X times the inner product of the codes (default 0.1; "
     "published: 1)",
     2},
    {"soft-epochs", OPT_SOFT_EPOCHS, "N", 0,
     "Of the same: the share of a code's elements that training sees as 1 or -1 grows to all "
     "within "
     "N epochs (default 0: all from the first)",
     2},
    {"order", OPT_ORDER, "NAME", 0,
     "In which a row's examples are read: key (as good as random), similarity (the most similar "
     "last), time (the latest last) (default key)",
     2},
    {"threads", OPT_THREADS, "N", 0,
     "Threads for seeds, and for the batches of a seed where there are fewer seeds (default: one "
     "per processor); the result does not depend on it",
     3},
    {"force", OPT_FORCE, NULL, 0, "Train again although nothing changed", 3},
    {"json", OPT_JSON, NULL, 0, "Print the report as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Trains the ranker, once per seed, with early stopping on valid AUC: a backbone, alone or with "
    "a "
    "side module such as ICT, which reads retrieved examples and their chains of thought."
    "\v"
    "Writes seed-<s>.lcf (weights), best.lcf (the seed of the highest valid AUC), valid.lcf and "
    "test.lcf (predictions of every seed, for `llmcf evaluate`), report.json, manifest.json.\n\n"
    "Stopped by a signal (exit code 75) or killed, it keeps the seeds and epochs that are finished "
    "in DIR.partial and goes on from there when called again; the result is the same.\n\n"
    "Examples:\n"
    "  llmcf train --backbone deepfm --dataset dataset --out ranker-deepfm\n"
    "  llmcf train --dataset dataset --vectors vectors --examples examples \\\n"
    "    --retrieved retrieved --side ict --out ranker-ict\n"
    "  llmcf train --dataset today/dataset --init yesterday/ranker \\\n"
    "    --init-dataset yesterday/dataset --epochs 3 --out today/ranker";

typedef struct arguments {
    lcf_train_options train;
    bool json;
} arguments;

static error_t parse_params(int key, char *text, struct argp_state *state, lcf_train_params *p)
{
    switch (key) {
    case OPT_EPOCHS:
        p->epochs_max = (uint32_t)lcf_cli_u64(state, "epochs", text, 1, LCF_TRAIN_EPOCHS_MAX);
        return 0;
    case OPT_PATIENCE:
        p->patience = (uint32_t)lcf_cli_u64(state, "patience", text, 1, LCF_TRAIN_EPOCHS_MAX);
        return 0;
    case OPT_BATCH:
        p->batch = (uint32_t)lcf_cli_u64(state, "batch", text, 1, 65536);
        return 0;
    case OPT_LR:
        p->learning_rate = lcf_cli_f64(state, "lr", text, 1e-9, 10.0);
        return 0;
    case OPT_SIDE_LR:
        p->side_learning_rate = lcf_cli_f64(state, "side-lr", text, 0.0, 10.0);
        return 0;
    case OPT_EMA:
        p->ema = lcf_cli_f64(state, "ema", text, 0.0, 0.999999);
        return 0;
    case OPT_WEIGHT_DECAY:
        p->weight_decay = lcf_cli_f64(state, "weight-decay", text, 0.0, 1.0);
        return 0;
    case OPT_PLATEAU:
        p->plateau = lcf_cli_f64(state, "lr-plateau", text, 1e-6, 1.0);
        return 0;
    case OPT_CLIP:
        p->clip = lcf_cli_f64(state, "clip", text, 0.0, 1e9);
        return 0;
    case OPT_DECAY:
        p->decoupled = lcf_cli_choice(state, "decay", text, "l2", "decoupled", NULL);
        return 0;
    case OPT_TABLE_UPDATES:
        p->sparse_tables = lcf_cli_choice(state, "table-updates", text, "dense", "sparse", NULL);
        return 0;
    case OPT_DROPOUT:
        p->dropout = lcf_cli_f64(state, "dropout", text, 0.0, 0.99);
        return 0;
    case OPT_DIM:
        p->dim = (uint32_t)lcf_cli_u64(state, "dim", text, 4, 4096);
        if (p->dim % 4)
            argp_error(state, "--dim must be a multiple of 4, not %s", text);
        return 0;
    case OPT_GRAPH_LAYERS:
        p->graph_layers_n = (uint32_t)lcf_cli_u64(state, "graph-layers", text, 0, 8);
        return 0;
    case OPT_CODE_SCALE:
        p->code_scale = lcf_cli_f64(state, "code-scale", text, 1e-6, 1e6);
        return 0;
    case OPT_SOFT_EPOCHS:
        p->soft_epochs = (uint32_t)lcf_cli_u64(state, "soft-epochs", text, 0, LCF_TRAIN_EPOCHS_MAX);
        return 0;
    case OPT_REC_WEIGHT:
        p->rec_weight = lcf_cli_f64(state, "rec-weight", text, 0.0, 1e6);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void check(lcf_train_options *o, struct argp_state *state)
{
    const unsigned needs = lcf_ranker_side_needs(o->side);

    if (!o->dataset_dir || !o->out_dir)
        argp_error(state, "--dataset and --out are needed");
    if (!lcf_ranker_has_backbone(o->backbone))
        argp_error(state, "--backbone: there is no '%s'; --help lists them", o->backbone);
    if (!lcf_ranker_has_side(o->side))
        argp_error(state, "--side: there is no '%s'; --help lists them", o->side);
    if (!o->init_dir != !o->init_dataset_dir)
        argp_error(state, "--init and --init-dataset go together");
    if (needs & LCF_RANKER_VECTORS && !o->vectors_dir)
        argp_error(state, "--side %s needs --vectors", o->side);
    if (needs & LCF_RANKER_EXAMPLES && (!o->examples_dir || !o->retrieved_dir))
        argp_error(state, "--side %s needs --examples and --retrieved", o->side);
    if (needs & LCF_RANKER_KNOWLEDGE && !o->knowledge_dir)
        argp_error(state, "--side %s needs --knowledge", o->side);
    lcf_train_params_settle(&o->params, o->backbone);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_DATASET:
        a->train.dataset_dir = text;
        return 0;
    case OPT_VECTORS:
        a->train.vectors_dir = text;
        return 0;
    case OPT_EXAMPLES:
        a->train.examples_dir = text;
        return 0;
    case OPT_RETRIEVED:
        a->train.retrieved_dir = text;
        return 0;
    case OPT_OUT:
        a->train.out_dir = text;
        return 0;
    case OPT_HISTORY_LABELS:
        a->train.history_labels = true;
        return 0;
    case OPT_KNOWLEDGE:
        a->train.knowledge_dir = text;
        return 0;
    case OPT_DISTILL:
        a->train.judged_dir = text;
        return 0;
    case OPT_INIT:
        a->train.init_dir = text;
        return 0;
    case OPT_INIT_DATASET:
        a->train.init_dataset_dir = text;
        return 0;
    case OPT_DISTILL_WEIGHT:
        a->train.distill_weight = lcf_cli_f64(state, "distill-weight", text, 1e-6, 1e6);
        return 0;
    case OPT_BACKBONE:
        a->train.backbone = text;
        return 0;
    case OPT_ORDER:
        if (lcf_example_order_parse(&a->train.order, text, NULL))
            argp_error(state, "--order must be key, similarity or time, not '%s'", text);
        return 0;
    case OPT_SIDE:
        a->train.side = text;
        return 0;
    case OPT_SEEDS:
        a->train.seeds_n =
            lcf_cli_u64_list(state, "seeds", text, a->train.seeds, LCF_TRAIN_SEEDS_MAX);
        return 0;
    case OPT_THREADS:
        a->train.threads = (size_t)lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_FORCE:
        a->train.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        check(&a->train, state);
        return 0;
    default:
        return parse_params(key, text, state, &a->train.params);
    }
}

/* The help of --backbone and --side, with all that there are. */
static char *list_kinds(int key, const char *text, void *input)
{
    const lcf_ranker_kind *(*kind)(size_t i) =
        key == OPT_BACKBONE ? lcf_ranker_backbone : lcf_ranker_side;
    lcf_buf list = LCF_BUF_INIT;

    (void)input;
    if (key != OPT_BACKBONE && key != OPT_SIDE)
        return (char *)text; /* argp's way to say: as it is */
    lcf_buf_append_text(&list, text);
    for (size_t i = 0; kind(i); i++)
        lcf_buf_printf(&list, "%s %s (%s)", i ? ";" : "", kind(i)->name, kind(i)->title);
    return lcf_buf_take(&list);
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *seed;
    size_t i;

    fprintf(stderr, "%s: backbone %s, side module %s, best seed %lld\n", out,
            json_string_value(json_object_get(report, "backbone")),
            json_string_value(json_object_get(report, "side")), lcf_cmd_count(report, "best_seed"));
    fprintf(stderr, "  %10s %7s %10s %10s %10s %12s %11s\n", "seed", "epochs", "valid AUC",
            "test AUC", "log loss", "seconds", "samples/s");
    json_array_foreach(json_object_get(report, "seeds"), i, seed)
        fprintf(stderr, "  %10lld %7zu %10.4f %10.4f %10.4f %12.1f %11.0f\n",
                lcf_cmd_count(seed, "seed"), json_array_size(json_object_get(seed, "epochs")),
                real(seed, "valid_auc"), real(seed, "test_auc"), real(seed, "test_logloss"),
                real(seed, "seconds"), real(seed, "samples_per_s"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force trains again)\n");
}

int lcf_cmd_train(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, list_kinds, NULL};
    arguments a = {.train = {.backbone = "din",
                             .side = "none",
                             .distill_weight = 0.1,
                             .params = LCF_TRAIN_PARAMS_INIT,
                             .seeds = {2023, 2024, 2025},
                             .seeds_n = 3}};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    a.train.params.learning_rate = a.train.params.weight_decay = NAN; /* until check() */
    status = lcf_cli_parse(&argp, "train", argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_train(&report, &current, &a.train, &err);
    }
    if (!status) {
        print_summary(report, a.train.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(report, &err);
    }
    json_decref(report);
    return lcf_cli_finish("train", status, &err);
}
