/* llmcf train-next: next-item models, one per seed. Options only; the work is in
 * offline/train/train_next.h. */
#include "offline/train/train_next.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    lcf_train_next_options train;
    bool json;
} arguments;

static lcf_status parse_encoder(void *name, const char *text, lcf_err *err)
{
    for (size_t i = 0; lcf_next_encoder_name(i); i++)
        if (!strcmp(text, lcf_next_encoder_name(i))) {
            *(const char **)name = text;
            return LCF_OK;
        }
    return LCF_FAIL(err, LCF_EUSAGE, "there is no '%s'", text);
}

static lcf_status parse_side(void *name, const char *text, lcf_err *err)
{
    if (!lcf_ranker_has_side(text))
        return LCF_FAIL(err, LCF_EUSAGE, "there is no '%s'", text);
    *(const char **)name = text;
    return LCF_OK;
}

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "Made by `llmcf prepare`", 1, LCF_OPT_TEXT(train.dataset_dir), LCF_REQUIRED},
    {"vectors", "DIR", "Made by `llmcf encode`; for a side module", 1,
     LCF_OPT_TEXT(train.vectors_dir)},
    {"examples", "DIR", "Made by `llmcf index`; for a side module", 1,
     LCF_OPT_TEXT(train.examples_dir)},
    {"retrieved", "DIR", "Made by `llmcf retrieve --by history`; for a side module", 1,
     LCF_OPT_TEXT(train.retrieved_dir)},
    {"out", "DIR", "The models; replaced in one step", 1, LCF_OPT_TEXT(train.out_dir),
     LCF_REQUIRED},
    {"model", "NAME",
     "youtubednn, gru4rec, sasrec or srgnn: what makes a vector of a history (default sasrec)", 2,
     LCF_OPT_PARSED(train.config.encoder, parse_encoder)},
    {"side", "NAME",
     "A side module of `llmcf train` whose vector is added to the user vector, e.g. ict (default "
     "none)",
     2, LCF_OPT_PARSED(train.config.side.side, parse_side)},
    {"side-scale", "X", "Times this (default 0.1)", 2,
     LCF_OPT_REAL(train.config.side_scale, -1e3, 1e3)},
    {"rec-weight", "ALPHA", "Weight of the side module's own loss (default 1)", 2,
     LCF_OPT_REAL(train.config.side.rec_weight, 0.0, 1e6)},
    {"seeds", "LIST", "One model for each, comma-separated (default 2023,2024,2025)", 2,
     LCF_OPT_LIST(train.seeds, train.seeds_n)},
    {"loss", "NAME",
     "sampled: softmax over the target and shared negatives; full: over all items; bce: target "
     "against one negative (default sampled)",
     2,
     LCF_OPT_CHOICE(train.params.loss, {"sampled", LCF_NEXT_SAMPLED}, {"full", LCF_NEXT_FULL},
                    {"bce", LCF_NEXT_BCE})},
    {"sampler", "NAME",
     "uniform or log-uniform (by popularity): how negatives are drawn (default uniform)", 2,
     LCF_OPT_CHOICE(train.params.sampling, {"uniform", LCF_NEXT_UNIFORM},
                    {"log-uniform", LCF_NEXT_LOG_UNIFORM})},
    {"negatives", "N", "Of a step of sampled softmax (default 512)", 2,
     LCF_OPT_WHOLE(train.params.negatives, 1, 1 << 20)},
    {"rank-seen", NULL, "Rank the items of the user's past, too; by default they are no candidates",
     2, LCF_OPT_FLAG(train.params.rank_seen)},
    {"epochs", "N", "At most this many (default 200)", 3,
     LCF_OPT_WHOLE(train.params.epochs_max, 1, LCF_TRAIN_EPOCHS_MAX)},
    {"patience", "N", "Stop after this many epochs without a better valid NDCG@10 (default 10)", 3,
     LCF_OPT_WHOLE(train.params.patience, 1, LCF_TRAIN_EPOCHS_MAX)},
    {"batch", "USERS", "Users per step (default 128)", 3,
     LCF_OPT_WHOLE(train.params.batch, 1, 65536)},
    {"lr", "RATE", "Learning rate of Adam (default 0.001)", 3,
     LCF_OPT_REAL(train.params.learning_rate, 1e-9, 10.0)},
    {"weight-decay", "X", "L2 in the gradient (default 1e-5)", 3,
     LCF_OPT_REAL(train.params.weight_decay, 0.0, 1.0)},
    {"precision", "NAME",
     "Of products of training: f32, or bf16 with f32 weights and sums, faster; a processor without "
     "bf16 products takes f32; the same bytes come from processors of one kind (default f32)",
     3, LCF_OPT_PARSED(train.params.precision, lcf_cmd_parse_precision)},
    {"dropout", "SHARE", "Of embeddings and hidden layers (default 0.2)", 3,
     LCF_OPT_REAL(train.config.dropout, 0.0, 0.99)},
    {"dim", "N", "Of items and user vectors (default 64)", 3,
     LCF_OPT_WHOLE(train.config.dim, 1, 4096)},
    {"history", "ITEMS", "The most recent items that count (default 50)", 3,
     LCF_OPT_WHOLE(train.config.history_max, 1, 4096)},
    {"hidden", "N", "Of the MLP, or of gru4rec's state (default 64)", 3,
     LCF_OPT_WHOLE(train.config.hidden, 1, 65536)},
    {"layers", "N", "sasrec: blocks; gru4rec: GRUs; srgnn: steps (default 1)", 3,
     LCF_OPT_WHOLE(train.config.layers_n, 1, 8)},
    {"heads", "N", "sasrec (default 2)", 3, LCF_OPT_WHOLE(train.config.heads_n, 1, 64)},
    {"threads", "N",
     "Seeds trained at the same time (default: one per processor); the result does not depend on "
     "it",
     4, LCF_OPT_WHOLE(train.threads, 0, 1024)},
    {"force", NULL, "Train again although nothing changed", 4, LCF_OPT_FLAG(train.force)},
    LCF_ROW_JSON(4, "the report as JSON on stdout"),
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
    "Stopped by a signal (exit code 75) or killed, it keeps the seeds and epochs that are "
    "finished in DIR.partial and goes on from there when called again; the result is the same.\n\n"
    "Examples:\n"
    "  llmcf train-next --dataset dataset --model sasrec --out next-sasrec\n"
    "  llmcf retrieve --dataset dataset --vectors vectors \\\n"
    "    --examples examples --by history --out retrieved-history\n"
    "  llmcf train-next --dataset dataset --model sasrec --side ict \\\n"
    "    --vectors vectors --examples examples \\\n"
    "    --retrieved retrieved-history --out next-sasrec-ict";

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
    static const lcf_options options = {"train-next", DOC, OPTIONS, NULL, NULL};
    arguments a = {.train = {.config = LCF_NEXT_CONFIG_INIT,
                             .params = LCF_TRAIN_NEXT_PARAMS_INIT,
                             .seeds = {2023, 2024, 2025},
                             .seeds_n = 3}};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    a.train.config.encoder = "sasrec";
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!status) {
        lcf_stop_install();
        status = lcf_train_next(&report, &current, &a.train, &err);
    }
    if (!status)
        print_summary(report, a.train.out_dir, current);
    return lcf_cmd_finish("train-next", status, report, a.json, &err);
}
