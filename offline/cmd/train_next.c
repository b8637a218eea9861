/* llmcf train-next: next-item models, one per seed. Options only; the work is in
 * offline/train/train_next.h. */
#include "offline/train/train_next.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_VECTORS,
    OPT_EXAMPLES,
    OPT_RETRIEVED,
    OPT_OUT,
    OPT_MODEL,
    OPT_SIDE,
    OPT_SIDE_SCALE,
    OPT_REC_WEIGHT,
    OPT_SEEDS,
    OPT_LOSS,
    OPT_SAMPLER,
    OPT_NEGATIVES,
    OPT_RANK_SEEN,
    OPT_EPOCHS,
    OPT_PATIENCE,
    OPT_BATCH,
    OPT_LR,
    OPT_WEIGHT_DECAY,
    OPT_DROPOUT,
    OPT_DIM,
    OPT_HISTORY,
    OPT_HIDDEN,
    OPT_LAYERS,
    OPT_HEADS,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "Made by `llmcf prepare`", 1},
    {"vectors", OPT_VECTORS, "DIR", 0, "Made by `llmcf encode`; for a side module", 1},
    {"examples", OPT_EXAMPLES, "DIR", 0, "Made by `llmcf index`; for a side module", 1},
    {"retrieved", OPT_RETRIEVED, "DIR", 0,
     "Made by `llmcf retrieve --by history`; for a side module", 1},
    {"out", OPT_OUT, "DIR", 0, "The models; replaced in one step", 1},
    {"model", OPT_MODEL, "NAME", 0,
     "youtubednn, gru4rec, sasrec or srgnn: what makes a vector of a history (default sasrec)", 2},
    {"side", OPT_SIDE, "NAME", 0,
     "A side module of `llmcf train` whose vector is added to the user vector, e.g. ict (default "
     "none)",
     2},
    {"side-scale", OPT_SIDE_SCALE, "X", 0, "Times this (default 0.1)", 2},
    {"rec-weight", OPT_REC_WEIGHT, "ALPHA", 0, "Weight of the side module's own loss (default 1)",
     2},
    {"seeds", OPT_SEEDS, "LIST", 0, "One model for each, comma-separated (default 2023,2024,2025)",
     2},
    {"loss", OPT_LOSS, "NAME", 0,
     "sampled: softmax over the target and shared negatives; full: over all items; bce: target "
     "against one negative (default sampled)",
     2},
    {"sampler", OPT_SAMPLER, "NAME", 0,
     "uniform or log-uniform (by popularity): how negatives are drawn (default uniform)", 2},
    {"negatives", OPT_NEGATIVES, "N", 0, "Of a step of sampled softmax (default 512)", 2},
    {"rank-seen", OPT_RANK_SEEN, NULL, 0,
     "Rank the items of the user's past, too; by default they are no candidates", 2},
    {"epochs", OPT_EPOCHS, "N", 0, "At most this many (default 200)", 3},
    {"patience", OPT_PATIENCE, "N", 0,
     "Stop after this many epochs without a better valid NDCG@10 (default 10)", 3},
    {"batch", OPT_BATCH, "USERS", 0, "Users per step (default 128)", 3},
    {"lr", OPT_LR, "RATE", 0, "Learning rate of Adam (default 0.001)", 3},
    {"weight-decay", OPT_WEIGHT_DECAY, "X", 0, "L2 in the gradient (default 1e-5)", 3},
    {"dropout", OPT_DROPOUT, "SHARE", 0, "Of embeddings and hidden layers (default 0.2)", 3},
    {"dim", OPT_DIM, "N", 0, "Of items and user vectors (default 64)", 3},
    {"history", OPT_HISTORY, "ITEMS", 0, "The most recent items that count (default 50)", 3},
    {"hidden", OPT_HIDDEN, "N", 0, "Of the MLP, or of gru4rec's state (default 64)", 3},
    {"layers", OPT_LAYERS, "N", 0, "sasrec: blocks; gru4rec: GRUs; srgnn: steps (default 1)", 3},
    {"heads", OPT_HEADS, "N", 0, "sasrec (default 2)", 3},
    {"threads", OPT_THREADS, "N", 0,
     "Seeds trained at the same time (default: one per processor); the result does not depend on "
     "it",
     4},
    {"force", OPT_FORCE, NULL, 0, "Train again although nothing changed", 4},
    {"json", OPT_JSON, NULL, 0, "Print the report as JSON on stdout", 4},
    {0},
};

static const char DOC[] =
    "Trains models that say which item a user takes next, once per seed, with early stopping on "
    "the valid split, and ranks every target among all items of the catalogue."
    "\v"
    "Training takes the histories and positives of the dataset; prepare it with --split leave-last "
    "for the protocol of the literature (last item test, last but one valid).\n\n"
    "Writes seed-<s>.lcf (weights), best.lcf (the seed of the highest valid NDCG@10), "
    "ranks-valid.lcf and ranks-test.lcf (the place of every target for every seed, for `llmcf "
    "compare-next`), report.json (HR, which is recall here, and NDCG at 5, 10, 20, 50, and MRR), "
    "manifest.json.\n\n"
    "Stopped by a signal (exit code 75) or killed, it keeps the seeds that are finished in "
    "DIR.partial and goes on from there when called again.\n\n"
    "Examples:\n"
    "  llmcf train-next --dataset dataset --model sasrec --out next-sasrec\n"
    "  llmcf retrieve --dataset dataset --vectors vectors \\\n"
    "    --examples examples --by history --out retrieved-history\n"
    "  llmcf train-next --dataset dataset --model sasrec --side ict \\\n"
    "    --vectors vectors --examples examples \\\n"
    "    --retrieved retrieved-history --out next-sasrec-ict";

typedef struct arguments {
    lcf_train_next_options train;
    bool json;
} arguments;

static const char *parse_model(struct argp_state *state, const char *text)
{
    for (size_t i = 0; lcf_next_encoder_name(i); i++)
        if (!strcmp(text, lcf_next_encoder_name(i)))
            return text;
    argp_error(state, "--model: there is no '%s'", text);
    return NULL;
}

static error_t parse_config(int key, char *text, struct argp_state *state, lcf_next_config *c)
{
    switch (key) {
    case OPT_MODEL:
        c->encoder = parse_model(state, text);
        return 0;
    case OPT_SIDE:
        if (!lcf_ranker_has_side(text))
            argp_error(state, "--side: there is no '%s'", text);
        c->side.side = text;
        return 0;
    case OPT_SIDE_SCALE:
        c->side_scale = (float)lcf_cli_f64(state, "side-scale", text, -1e3, 1e3);
        return 0;
    case OPT_REC_WEIGHT:
        c->side.rec_weight = (float)lcf_cli_f64(state, "rec-weight", text, 0.0, 1e6);
        return 0;
    case OPT_DROPOUT:
        c->dropout = (float)lcf_cli_f64(state, "dropout", text, 0.0, 0.99);
        return 0;
    case OPT_DIM:
        c->dim = (uint32_t)lcf_cli_u64(state, "dim", text, 1, 4096);
        return 0;
    case OPT_HISTORY:
        c->history_max = (uint32_t)lcf_cli_u64(state, "history", text, 1, 4096);
        return 0;
    case OPT_HIDDEN:
        c->hidden = (uint32_t)lcf_cli_u64(state, "hidden", text, 1, 65536);
        return 0;
    case OPT_LAYERS:
        c->layers_n = (uint32_t)lcf_cli_u64(state, "layers", text, 1, 8);
        return 0;
    case OPT_HEADS:
        c->heads_n = (uint32_t)lcf_cli_u64(state, "heads", text, 1, 64);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_params(int key, char *text, struct argp_state *state, lcf_train_next_params *p)
{
    switch (key) {
    case OPT_LOSS:
        p->loss =
            (lcf_next_loss_kind)lcf_cli_choice(state, "loss", text, "sampled", "full", "bce", NULL);
        return 0;
    case OPT_SAMPLER:
        p->sampling = (lcf_next_sampling)lcf_cli_choice(state, "sampler", text, "uniform",
                                                        "log-uniform", NULL);
        return 0;
    case OPT_NEGATIVES:
        p->negatives = (uint32_t)lcf_cli_u64(state, "negatives", text, 1, 1 << 20);
        return 0;
    case OPT_RANK_SEEN:
        p->rank_seen = true;
        return 0;
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
    case OPT_WEIGHT_DECAY:
        p->weight_decay = lcf_cli_f64(state, "weight-decay", text, 0.0, 1.0);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    error_t handled;

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
        if (!a->train.dataset_dir || !a->train.out_dir)
            argp_error(state, "--dataset and --out are needed");
        return 0;
    default:
        handled = parse_config(key, text, state, &a->train.config);
        return handled == ARGP_ERR_UNKNOWN ? parse_params(key, text, state, &a->train.params)
                                           : handled;
    }
}

static double measure(const json_t *object, const char *split, const char *name)
{
    return json_number_value(json_object_get(json_object_get(object, split), name));
}

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *seed;
    size_t i;

    fprintf(stderr, "%s: %s, best seed %lld, ranked among %lld items\n", out,
            json_string_value(json_object_get(report, "model")), lcf_cmd_count(report, "best_seed"),
            lcf_cmd_count(report, "candidates"));
    fprintf(stderr, "  %10s %7s %9s %9s %9s %9s %9s %9s %9s %9s\n", "seed", "epochs", "v.NDCG@10",
            "HR@5", "HR@10", "HR@20", "NDCG@10", "MRR", "seconds", "rows/s");
    json_array_foreach(json_object_get(report, "seeds"), i, seed)
        fprintf(stderr, "  %10lld %7zu %9.4f %9.4f %9.4f %9.4f %9.4f %9.4f %9.1f %9.0f\n",
                lcf_cmd_count(seed, "seed"), json_array_size(json_object_get(seed, "epochs")),
                measure(seed, "valid", "ndcg@10"), measure(seed, "test", "hr@5"),
                measure(seed, "test", "hr@10"), measure(seed, "test", "hr@20"),
                measure(seed, "test", "ndcg@10"), measure(seed, "test", "mrr"),
                json_number_value(json_object_get(seed, "seconds")),
                json_number_value(json_object_get(seed, "questions_per_s")));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force trains again)\n");
}

int lcf_cmd_train_next(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.train = {.config = LCF_NEXT_CONFIG_INIT,
                             .params = LCF_TRAIN_NEXT_PARAMS_INIT,
                             .seeds = {2023, 2024, 2025},
                             .seeds_n = 3}};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    a.train.config.encoder = "sasrec";
    status = lcf_cli_parse(&argp, "train-next", argc, argv, &a, &err);
    if (!status) {
        lcf_stop_install();
        status = lcf_train_next(&report, &current, &a.train, &err);
    }
    if (!status) {
        print_summary(report, a.train.out_dir, current);
        if (a.json)
            status = lcf_cmd_print_json(report, &err);
    }
    json_decref(report);
    return lcf_cli_finish("train-next", status, &err);
}
