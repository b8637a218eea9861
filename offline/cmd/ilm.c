/* llmcf ilm: items as soft tokens of a frozen language model. Options only; the work is in
 * offline/ilm/run_ilm.h. */
#include "offline/ilm/run_ilm.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_ilm_options ilm;
    bool json;
} arguments;

static lcf_status parse_tasks(void *weights, const char *text, lcf_err *err)
{
    return lcf_ilm_weights_parse(weights, text, err);
}

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "Made by `llmcf prepare`", 1, LCF_OPT_TEXT(ilm.dataset), LCF_REQUIRED},
    {"model", "FILE", "A GGUF LLaMA; it stays as it is", 1, LCF_OPT_TEXT(ilm.model), LCF_REQUIRED},
    {"ranker", "FILE",
     "Take the vectors of users and items of a ranker on that dataset, e.g. mf/best.lcf; a "
     "Q-Former of phase 1 wants those that it was trained on (default: made of who took what in "
     "the training rows)",
     1, LCF_OPT_TEXT(ilm.ranker)},
    {"out", "DIR", "The adapter and what it is worth; replaced in one step", 1,
     LCF_OPT_TEXT(ilm.out), LCF_REQUIRED},
    {"arm", "NAME",
     "text: no soft token; mlp: two layers, as CoLLM; random: a Q-Former of random weights; "
     "qformer: one of phase 1 (default mlp)",
     2,
     LCF_OPT_CHOICE(ilm.arm, {"text", LCF_ILM_ARM_TEXT}, {"mlp", LCF_ILM_ARM_MLP},
                    {"random", LCF_ILM_ARM_RANDOM}, {"qformer", LCF_ILM_ARM_QFORMER})},
    {"qformer", "PATH", "Weights of phase 1, or their folder; the arm random takes its sizes", 2,
     LCF_OPT_TEXT(ilm.qformer)},
    {"tokens", "K",
     "Soft tokens of an item or a user; a Q-Former of phase 1 has its own number (default 1)", 2,
     LCF_OPT_WHOLE(ilm.tokens, 1, 256)},
    {"tasks", "LIST",
     "TASK=WEIGHT with commas between, of describe, next, like, rating, profile, why (default "
     "like=3 and the others 1)",
     3, LCF_OPT_PARSED(ilm.tasks.weights, parse_tasks)},
    {"prompts", "FILE",
     "Lines `TASK: prompt` in place of the built-in ones, with {item}, {user}, {title}, {history}, "
     "{history.titles}, {history.items} and \\n",
     3, LCF_OPT_TEXT(ilm.tasks.prompts)},
    {"history", "N", "Most recent items in a prompt (default 5)", 3,
     LCF_OPT_WHOLE(ilm.tasks.history_n, 1, LCF_HISTORY_MAX)},
    {"cutoff", "TOKENS", "A longer row loses the oldest of its history (default 384)", 3,
     LCF_OPT_WHOLE(ilm.tasks.cutoff, 16, 1 << 20)},
    {"steps", "N", "At most (default 400)", 4, LCF_OPT_WHOLE(ilm.train.steps, 1, UINT32_MAX)},
    {"batch", "ROWS", "Of a step (default 16)", 4, LCF_OPT_WHOLE(ilm.train.batch_rows, 1, 4096)},
    {"lr", "RATE", "Peak learning rate (default 0.001)", 4,
     LCF_OPT_REAL(ilm.train.peak_lr, 1e-9, 10)},
    {"schedule", "NAME", "cosine, linear or constant (default cosine)", 4,
     LCF_OPT_SCHEDULE(ilm.train.schedule)},
    {"warmup", "STEPS", "To the peak (default 40)", 4,
     LCF_OPT_WHOLE(ilm.train.warmup, 0, UINT32_MAX)},
    {"weight-decay", "W", "Of AdamW (default 0.01)", 4,
     LCF_OPT_REAL(ilm.train.weight_decay, 0, 10)},
    {"clip", "NORM", "Largest gradient norm; 0 clips nothing (default 1)", 4,
     LCF_OPT_REAL(ilm.train.clip_norm, 0, 1e9)},
    {"eval-every", "STEPS", "Valid loss and checkpoint (default 50)", 4,
     LCF_OPT_WHOLE(ilm.train.eval_every, 1, UINT32_MAX)},
    {"patience", "N", "Evaluations without a better one that end it; 0: none do (default 5)", 4,
     LCF_OPT_WHOLE(ilm.train.patience, 0, UINT32_MAX)},
    {"valid-rows", "N", "Of each task in an evaluation (default 64)", 4,
     LCF_OPT_WHOLE(ilm.train.valid_rows, 1, 1 << 20)},
    {"precision", "NAME",
     "Of the model's products in training: f32, or bf16 where the processor has it (default f32)",
     4, LCF_OPT_PARSED(ilm.train.precision, lcf_cmd_parse_precision)},
    {"seeds", "LIST", "Of the runs, with commas between (default 1)", 4,
     LCF_OPT_LIST(ilm.seeds, ilm.seeds_n)},
    {"score-users", "SHARE",
     "Of the users whose valid and test rows are scored, drawn by their ids (default 1)", 5,
     LCF_OPT_REAL(ilm.score_users, 0, 1)},
    {"write-rows", "N", "Texts of each task that are written (default 64)", 5,
     LCF_OPT_WHOLE(ilm.write_rows, 0, 1 << 20)},
    {"max-tokens", "N", "Of a text (default 40)", 5, LCF_OPT_WHOLE(ilm.tokens_max, 1, 4096)},
    {"encoder", "FILE",
     "What compares texts, as `llmcf encode` takes it (default: the lexical one, fitted on what "
     "training rows expect)",
     5, LCF_OPT_TEXT(ilm.encoder)},
    LCF_ROW_THREADS(6, "result is", ilm.threads),
    LCF_ROW_FORCE(6, "result is", ilm.force),
    LCF_ROW_JSON(6, "report.json on stdout"),
    {0},
};

static const char DOC[] =
    "Trains an adapter that turns collaborative vectors of items and users into soft tokens of a "
    "frozen language model, and measures what the model then says about users and items."
    "\v"
    "The second phase of ILM and its baselines. Tasks are made of the dataset: describe an item, "
    "name the next one, like or not, rate it, describe a user, say why. The like task is scored "
    "by log p(Yes) - log p(No); texts by their similarity to what the data says, beside the "
    "similarity to what it says of another row (chance).\n\n"
    "Writes DIR/adapter.lcf (of the best seed), seed-N.lcf, report.json (schemas/ilm.md), and "
    "valid.lcf and test.lcf, which `llmcf evaluate` and `llmcf compare` take like a ranker's "
    "predictions. Stopped by a signal (exit code 75) or killed, it keeps its state in DIR.partial "
    "and goes on from there to the same bytes.\n\n"
    "Example:\n"
    "  llmcf train --backbone mf --side none --dataset dataset --out mf\n"
    "  llmcf ilm --dataset dataset --model recgen/recgen.gguf \\\n"
    "    --ranker mf/best.lcf --arm mlp --seeds 1,2,3 --out ilm-mlp";

static void print_seed(const json_t *seed)
{
    const json_t *training = json_object_get(seed, "training"), *text;
    const json_t *like = json_object_get(seed, "like"), *test = json_object_get(like, "test");
    size_t i;

    fprintf(stderr, "  seed %lld", lcf_cmd_count(seed, "seed"));
    if (training)
        fprintf(stderr, ": valid loss %.4f at step %lld", lcf_cmd_real(training, "valid_loss"),
                lcf_cmd_count(training, "best_step"));
    fprintf(stderr, "\n    test AUC %.4f, UAUC %.4f; %.1f tokens a row, %.2f s for 1,000 rows\n",
            lcf_cmd_real(test, "auc"), lcf_cmd_real(test, "uauc"),
            lcf_cmd_real(like, "tokens_per_row"), lcf_cmd_real(like, "seconds_per_1000_rows"));
    json_array_foreach(json_object_get(seed, "text"), i, text) fprintf(
        stderr, "    %-8s similarity %.4f (%.4f to %.4f), chance %.4f\n",
        json_string_value(json_object_get(text, "task")), lcf_cmd_real(text, "similarity"),
        lcf_cmd_real(text, "low"), lcf_cmd_real(text, "high"), lcf_cmd_real(text, "chance"));
}

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *seed;
    size_t i;

    fprintf(stderr, "%s: %s, %lld soft tokens, %lld parameters trained\n", out,
            json_string_value(json_object_get(report, "arm")), lcf_cmd_count(report, "tokens"),
            lcf_cmd_count(report, "trained_parameters"));
    json_array_foreach(json_object_get(report, "seeds"), i, seed) print_seed(seed);
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_ilm(int argc, char **argv)
{
    static const lcf_options options = {"ilm", DOC, OPTIONS, NULL, NULL};
    arguments a = {LCF_ILM_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_ilm_step(&report, &current, &a.ilm, &err);
    if (!status)
        print_summary(report, a.ilm.out, current);
    return lcf_cmd_finish("ilm", status, report, a.json, &err);
}
