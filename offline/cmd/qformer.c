/* llmcf qformer: phase 1 of ILM. Options only; the work is in offline/ilm/run_qformer.h. */
#include "offline/ilm/run_qformer.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    lcf_qformer_options qformer;
    bool json;
} arguments;

static lcf_status parse_losses(void *field, const char *text, lcf_err *err)
{
    unsigned losses = 0;

    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, ",");
        unsigned bit = 0;

        for (int i = 0; i < PHASE1_LOSSES_N; i++)
            if (strlen(PHASE1_LOSS_NAMES[i]) == n && !memcmp(PHASE1_LOSS_NAMES[i], at, n))
                bit = PHASE1_BIT(i);
        if (!bit)
            return LCF_FAIL(err, LCF_EUSAGE, "'%.*s' is none of itc, itm, itg, iic, uic", (int)n,
                            at);
        losses |= bit;
        at += n + (at[n] == ',');
    }
    if (!losses)
        return LCF_FAIL(err, LCF_EUSAGE, "none is named");
    *(unsigned *)field = losses;
    return LCF_OK;
}

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(qformer.dataset),
    {"ranker", "FILE",
     "Take the vectors of items and users that these weights of `llmcf train` on it have, such as "
     "mf/best.lcf (sasrec has none of users, so no uic); by default the collaborative vectors are "
     "made of who took what in the training rows",
     1, LCF_OPT_TEXT(qformer.ranker)},
    {"out", "DIR", "The Q-Former; replaced in one step", 1, LCF_OPT_TEXT(qformer.out),
     LCF_REQUIRED},
    {"model", "GGUF",
     "Take this model's tokenizer for the texts; by default one is learned from them", 2,
     LCF_OPT_TEXT(qformer.model)},
    {"vocab", "N", "Pieces of the tokenizer that is learned (default 2048)", 2,
     LCF_OPT_WHOLE(qformer.vocab, 259, 1000000)},
    {"losses", "LIST",
     "Of itc (item-text contrast), itm (item-text matching), itg (item-grounded text generation), "
     "iic (contrast of items that follow each other in a history), uic (of a user and an item); "
     "comma-separated (default itc,itm,itg,iic)",
     2, LCF_OPT_PARSED(qformer.params.losses, parse_losses)},
    {"mix", "HOW",
     "sum: all losses in every step; alternate: texts and each kind of pairs in turn (default sum)",
     2, LCF_OPT_CHOICE(qformer.params.alternate, {"sum", false}, {"alternate", true})},
    {"queries", "K", "Soft tokens of an item (default 8)", 3,
     LCF_OPT_WHOLE(qformer.config.queries, 1, 1024)},
    {"layers", "N", "Default 4", 3,
     LCF_OPT_WHOLE(qformer.config.layers, 1, LCF_QFORMER_LAYERS_MAX)},
    {"hidden", "N", "Default 128", 3, LCF_OPT_WHOLE(qformer.config.hidden, 1, 8192)},
    {"heads", "N", "Default 4", 3, LCF_OPT_WHOLE(qformer.config.heads, 1, 256)},
    {"ffn", "N", "Of the feed-forward layers (default 4 times --hidden)", 3,
     LCF_OPT_WHOLE(qformer.config.ffn, 1, 65536)},
    {"features", "N", "Of the space of the contrasts (default 64)", 3,
     LCF_OPT_WHOLE(qformer.config.feature_dim, 1, 8192)},
    {"cross-every", "N", "Every N-th layer looks at the collaborative vector (default 2)", 3,
     LCF_OPT_WHOLE(qformer.config.cross_every, 1, LCF_QFORMER_LAYERS_MAX)},
    {"text-max", "TOKENS", "Longer texts are cut (default 32)", 3,
     LCF_OPT_WHOLE(qformer.config.text_max, 3, 4096)},
    {"dropout", "SHARE", "Default 0.1", 3, LCF_OPT_REAL(qformer.config.dropout, 0.0, 0.99)},
    {"epochs", "N", "At most this many (default 60)", 4,
     LCF_OPT_WHOLE(qformer.params.epochs_max, 1, PHASE1_EPOCHS_MAX)},
    {"patience", "N",
     "Stop after this many epochs without smaller losses on the validation items (default 10)", 4,
     LCF_OPT_WHOLE(qformer.params.patience, 1, PHASE1_EPOCHS_MAX)},
    {"batch", "N", "Items, and pairs, per step (default 64)", 4,
     LCF_OPT_WHOLE(qformer.params.batch, 4, 4096)},
    {"lr", "RATE", "Learning rate of AdamW (default 0.0005)", 4,
     LCF_OPT_REAL(qformer.params.learning_rate, 1e-9, 10.0)},
    {"warmup", "STEPS", "Default 50", 4, LCF_OPT_WHOLE(qformer.params.warmup, 0, 1000000)},
    {"weight-decay", "X", "Default 0.05", 4, LCF_OPT_REAL(qformer.params.weight_decay, 0.0, 1.0)},
    {"clip", "NORM", "Of the gradient, 0: none (default 1)", 4,
     LCF_OPT_REAL(qformer.params.clip, 0.0, 1e6)},
    {"smoothing", "SHARE", "Of the labels of itc and itg (default 0.1)", 4,
     LCF_OPT_REAL(qformer.params.smoothing, 0.0, 0.99)},
    {"seed", "N", "Default 1", 4, LCF_OPT_WHOLE(qformer.params.seed, 0, UINT32_MAX)},
    {"threads", "N", "Default: one per processor; the result does not depend on it", 5,
     LCF_OPT_WHOLE(qformer.params.threads, 0, 1024)},
    {"force", NULL, "Train again although nothing changed", 5, LCF_OPT_FLAG(qformer.force)},
    LCF_ROW_JSON(5, "the report as JSON on stdout"),
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
    "  llmcf qformer --dataset dataset --out qformer --losses itc,itm,itg,iic,uic";

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
    fprintf(stderr, "  %-14s %9s %9s %9s %9s %9s %11s\n", "items", "i->t @1", "i->t @10", "t->i @1",
            "t->i @10", "nats/tok", "neighbours");
    print_measures("random weights", json_object_get(report, "start"));
    print_measures("best epoch", json_object_get(report, "test"));
    print_measures("trained on", json_object_get(report, "seen"));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force trains again)\n");
}

int lcf_cmd_qformer(int argc, char **argv)
{
    static const lcf_options options = {"qformer", DOC, OPTIONS, NULL, NULL};
    arguments a = {.qformer = LCF_QFORMER_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    a.qformer.config.ffn = 0; /* follows the hidden size unless it is given */
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!a.qformer.config.ffn)
        a.qformer.config.ffn = 4 * a.qformer.config.hidden;
    if (!status) {
        lcf_stop_install();
        status = lcf_qformer_step(&report, &current, &a.qformer, &err);
    }
    if (!status)
        print_summary(report, a.qformer.out, current);
    return lcf_cmd_finish("qformer", status, report, a.json, &err);
}
