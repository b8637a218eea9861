/* llmcf train: rankers of one kind, one per seed. Options only; the work is in
 * offline/train/train.h. */
#include "offline/train/train.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/model/ranker.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    lcf_train_options train;
    bool json;
} arguments;

/* The help of --backbone and --side names all that there are. */
static void list_kinds(lcf_buf *help, const lcf_ranker_kind *(*kind)(size_t i))
{
    for (size_t i = 0; kind(i); i++)
        lcf_buf_printf(help, "%s %s (%s)", i ? ";" : "", kind(i)->name, kind(i)->title);
}

static void list_backbones(lcf_buf *help)
{
    list_kinds(help, lcf_ranker_backbone);
}

static void list_sides(lcf_buf *help)
{
    list_kinds(help, lcf_ranker_side);
}

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "Made by `llmcf prepare`", 1, LCF_OPT_TEXT(train.dataset_dir), LCF_REQUIRED},
    {"vectors", "DIR", "Made by `llmcf encode`; where the side module needs it", 1,
     LCF_OPT_TEXT(train.vectors_dir)},
    {"examples", "DIR", "Made by `llmcf index`; likewise", 1, LCF_OPT_TEXT(train.examples_dir)},
    {"retrieved", "DIR", "Made by `llmcf retrieve`; likewise", 1,
     LCF_OPT_TEXT(train.retrieved_dir)},
    {"knowledge", "DIR", "Made by `llmcf knowledge`; likewise", 1,
     LCF_OPT_TEXT(train.knowledge_dir)},
    {"distill", "DIR",
     "Made by `llmcf judge`: the ranker also learns what the language model answered", 1,
     LCF_OPT_TEXT(train.judged_dir)},
    {"init", "DIR",
     "A warm start: begin with the weights of this earlier `llmcf train`; users, items, brands and "
     "categories that it did not know begin fresh",
     1, LCF_OPT_TEXT(train.init_dir)},
    {"init-dataset", "DIR",
     "The dataset that --init was trained on: rows of tables are matched by external ids", 1,
     LCF_OPT_TEXT(train.init_dataset_dir)},
    {"out", "DIR", "The rankers; replaced in one step", 1, LCF_OPT_TEXT(train.out_dir),
     LCF_REQUIRED},
    {"backbone", "NAME", "The model (default din):", 2, LCF_OPT_TEXT(train.backbone),
     .more = list_backbones},
    {"side", "NAME",
     "The side module whose vector the backbone takes as further features (default none):", 2,
     LCF_OPT_TEXT(train.side), .more = list_sides},
    {"seeds", "LIST", "One ranker for each, comma-separated (default 2023,2024,2025)", 2,
     LCF_OPT_LIST(train.seeds, train.seeds_n)},
    {"epochs", "N", "At most this many (default 30)", 2,
     LCF_OPT_WHOLE(train.params.epochs_max, 1, LCF_TRAIN_EPOCHS_MAX)},
    {"patience", "N", "Stop after this many epochs without a better valid AUC (default 2)", 2,
     LCF_OPT_WHOLE(train.params.patience, 1, LCF_TRAIN_EPOCHS_MAX)},
    {"batch", "ROWS", "Rows per step (default 256)", 2,
     LCF_OPT_WHOLE(train.params.batch, 1, 65536)},
    {"lr", "RATE",
     "Learning rate of Adam (default: what did best for the backbone, 0.003 for most)", 2,
     LCF_OPT_REAL(train.params.learning_rate, 1e-9, 10.0)},
    {"side-lr", "RATE", "Learning rate of the side module's own parameters (default 0: as --lr)", 2,
     LCF_OPT_REAL(train.params.side_learning_rate, 0.0, 10.0)},
    {"ema", "DECAY",
     "Judge and keep an exponential average of the weights over the steps, such as 0.999, instead "
     "of the last ones (default 0: the last ones)",
     2, LCF_OPT_REAL(train.params.ema, 0.0, 0.999999)},
    {"lr-plateau", "FACTOR",
     "Multiply the learning rate by this after an epoch that was not the best so far (default 1: "
     "never)",
     2, LCF_OPT_REAL(train.params.plateau, 1e-6, 1.0)},
    {"clip", "NORM", "Scale gradients down to this norm (default 0: never)", 2,
     LCF_OPT_REAL(train.params.clip, 0.0, 1e9)},
    {"weight-decay", "X", "Strength of the decay (default: likewise, 1e-4)", 2,
     LCF_OPT_REAL(train.params.weight_decay, 0.0, 1.0)},
    {"decay", "NAME",
     "l2: in the gradient, as in the published results; decoupled: beside it, as AdamW (default "
     "l2)",
     2, LCF_OPT_CHOICE(train.params.decoupled, {"l2", false}, {"decoupled", true})},
    {"table-updates", "NAME",
     "dense: every row of every table in every step, as torch.optim.Adam; sparse: only rows that "
     "the batch looked up, for very large tables (default dense)",
     2, LCF_OPT_CHOICE(train.params.sparse_tables, {"dense", false}, {"sparse", true})},
    {"precision", "NAME",
     "Of products: f32, or bf16 with f32 weights and sums, faster; a processor without bf16 "
     "products takes f32. AMX sums bf16 in another order than AVX-512: the same bytes come from "
     "processors of one kind (default f32)",
     2, LCF_OPT_PARSED(train.params.precision, lcf_cmd_parse_precision)},
    {"dropout", "SHARE", "Of the head's hidden layers (default 0.1)", 2,
     LCF_OPT_REAL(train.params.dropout, 0.0, 0.99)},
    {"norm", "NAME",
     "Of the head's hidden layers: none, or batch, normalised over the rows of a batch; a batch is "
     "then one thread's (default none)",
     2, LCF_OPT_CHOICE(train.head_norm, {"none", false}, {"batch", true})},
    {"rec-weight", "ALPHA",
     "Weight of the side module's own loss, ICT's reconstruction; 0: without it (default 1)", 2,
     LCF_OPT_REAL(train.params.rec_weight, 0.0, 1e6)},
    {"distill-weight", "X", "Of the loss against those answers (default 0.1)", 2,
     LCF_OPT_REAL(train.distill_weight, 1e-6, 1e6)},
    {"history-labels", NULL,
     "Items of a history carry whether the user liked them (--like of `llmcf prepare`)", 2,
     LCF_OPT_FLAG(train.history_labels)},
    {"dim", "N", "Of fields, tokens and codes; a multiple of 4 (default 32)", 2,
     LCF_OPT_WHOLE(train.params.dim, 4, 4096)},
    {"graph-layers", "N",
     "Of lightgcn and binlightgcn: steps along the graph of what training users liked (default 2)",
     2, LCF_OPT_WHOLE(train.params.graph_layers_n, 0, 8)},
    {"code-scale", "X",
     "Of binmf and binlightgcn: the logit is X times the inner product of the codes (default 0.1; "
     "published: 1)",
     2, LCF_OPT_REAL(train.params.code_scale, 1e-6, 1e6)},
    {"soft-epochs", "N",
     "Of the same: the share of a code's elements that training sees as 1 or -1 grows to all "
     "within N epochs (default 0: all from the first)",
     2, LCF_OPT_WHOLE(train.params.soft_epochs, 0, LCF_TRAIN_EPOCHS_MAX)},
    {"order", "NAME",
     "In which a row's examples are read: key (as good as random), similarity (the most similar "
     "last), time (the latest last) (default key)",
     2,
     LCF_OPT_CHOICE(train.order, {"key", LCF_ORDER_KEY}, {"similarity", LCF_ORDER_SIMILARITY},
                    {"time", LCF_ORDER_TIME})},
    {"threads", "N",
     "Threads for seeds, and for the batches of a seed where there are fewer seeds (default: one "
     "per processor); the result does not depend on it",
     3, LCF_OPT_WHOLE(train.threads, 0, 1024)},
    {"force", NULL, "Train again although nothing changed", 3, LCF_OPT_FLAG(train.force)},
    LCF_ROW_JSON(3, "the report as JSON on stdout"),
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

static void check(void *input, struct argp_state *state)
{
    arguments *a = input;
    lcf_train_options *o = &a->train;
    const unsigned needs = lcf_ranker_side_needs(o->side);

    if (!lcf_ranker_has_backbone(o->backbone))
        argp_error(state, "--backbone: there is no '%s'; --help lists them", o->backbone);
    if (!lcf_ranker_has_side(o->side))
        argp_error(state, "--side: there is no '%s'; --help lists them", o->side);
    if (o->params.dim % 4)
        argp_error(state, "--dim must be a multiple of 4, not %u", o->params.dim);
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

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *seed;
    size_t i;

    fprintf(stderr, "%s: backbone %s, side module %s, best seed %lld\n", out,
            json_string_value(json_object_get(report, "backbone")),
            json_string_value(json_object_get(report, "side")), lcf_cmd_count(report, "best_seed"));
    fprintf(stderr, "  %10s %7s %10s %10s %10s %12s %11s\n", "seed", "epochs", "valid AUC",
            "test AUC", "log loss", "seconds", "samples/s");
    json_array_foreach(json_object_get(report, "seeds"), i, seed) fprintf(
        stderr, "  %10lld %7zu %10.4f %10.4f %10.4f %12.1f %11.0f\n", lcf_cmd_count(seed, "seed"),
        json_array_size(json_object_get(seed, "epochs")), lcf_cmd_real(seed, "valid_auc"),
        lcf_cmd_real(seed, "test_auc"), lcf_cmd_real(seed, "test_logloss"),
        lcf_cmd_real(seed, "seconds"), lcf_cmd_real(seed, "samples_per_s"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force trains again)\n");
}

int lcf_cmd_train(int argc, char **argv)
{
    static const lcf_options options = {"train", DOC, OPTIONS, check, NULL};
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
    status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_train(&report, &current, &a.train, &err);
    }
    if (!status)
        print_summary(report, a.train.out_dir, current);
    return lcf_cmd_finish("train", status, report, a.json, &err);
}
