/* llmcf ilm: items as soft tokens of a frozen language model. Options only; the work is in
 * offline/ilm/run_ilm.h. */
#include "offline/ilm/run_ilm.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum {
    OPT_DATASET = 0x100,
    OPT_MODEL,
    OPT_RANKER,
    OPT_OUT,
    OPT_ARM,
    OPT_QFORMER,
    OPT_TOKENS,
    OPT_TASKS,
    OPT_PROMPTS,
    OPT_HISTORY,
    OPT_CUTOFF,
    OPT_STEPS,
    OPT_BATCH,
    OPT_LR,
    OPT_SCHEDULE,
    OPT_WARMUP,
    OPT_WEIGHT_DECAY,
    OPT_CLIP,
    OPT_EVAL_EVERY,
    OPT_PATIENCE,
    OPT_VALID_ROWS,
    OPT_PRECISION,
    OPT_SEEDS,
    OPT_SCORE_USERS,
    OPT_WRITE_ROWS,
    OPT_MAX_TOKENS,
    OPT_ENCODER,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "Made by `llmcf prepare`", 1},
    {"model", OPT_MODEL, "FILE", 0, "A GGUF LLaMA; it stays as it is", 1},
    {"ranker", OPT_RANKER, "FILE", 0,
     "Weights of a ranker on that dataset, e.g. mf/best.lcf: its vectors of users and items", 1},
    {"out", OPT_OUT, "DIR", 0, "The adapter and what it is worth; replaced in one step", 1},
    {"arm", OPT_ARM, "NAME", 0,
     "text: no soft token; mlp: two layers, as CoLLM; random: a Q-Former of random weights; "
     "qformer: one of phase 1 (default mlp)",
     2},
    {"qformer", OPT_QFORMER, "PATH", 0,
     "Weights of phase 1, or their folder; the arm random takes its sizes", 2},
    {"tokens", OPT_TOKENS, "K", 0,
     "Soft tokens of an item or a user; a Q-Former of phase 1 has its own number (default 1)", 2},
    {"tasks", OPT_TASKS, "LIST", 0,
     "TASK=WEIGHT with commas between, of describe, next, like, rating, profile, why (default "
     "like=3 and the others 1)",
     3},
    {"prompts", OPT_PROMPTS, "FILE", 0,
     "Lines `TASK: prompt` in place of the built-in ones, with {item}, {user}, {title}, {history}, "
     "{history.titles}, {history.items} and \\n",
     3},
    {"history", OPT_HISTORY, "N", 0, "Most recent items in a prompt (default 5)", 3},
    {"cutoff", OPT_CUTOFF, "TOKENS", 0,
     "A longer row loses the oldest of its history (default 384)", 3},
    {"steps", OPT_STEPS, "N", 0, "At most (default 400)", 4},
    {"batch", OPT_BATCH, "ROWS", 0, "Of a step (default 16)", 4},
    {"lr", OPT_LR, "RATE", 0, "Peak learning rate (default 0.001)", 4},
    {"schedule", OPT_SCHEDULE, "NAME", 0, "cosine, linear or constant (default cosine)", 4},
    {"warmup", OPT_WARMUP, "STEPS", 0, "To the peak (default 40)", 4},
    {"weight-decay", OPT_WEIGHT_DECAY, "W", 0, "Of AdamW (default 0.01)", 4},
    {"clip", OPT_CLIP, "NORM", 0, "Largest gradient norm; 0 clips nothing (default 1)", 4},
    {"eval-every", OPT_EVAL_EVERY, "STEPS", 0, "Valid loss and checkpoint (default 50)", 4},
    {"patience", OPT_PATIENCE, "N", 0,
     "Evaluations without a better one that end it; 0: none do (default 5)", 4},
    {"valid-rows", OPT_VALID_ROWS, "N", 0, "Of each task in an evaluation (default 64)", 4},
    {"precision", OPT_PRECISION, "NAME", 0,
     "Of the model's products in training: f32, or bf16 where the processor has it (default f32)",
     4},
    {"seeds", OPT_SEEDS, "LIST", 0, "Of the runs, with commas between (default 1)", 4},
    {"score-users", OPT_SCORE_USERS, "SHARE", 0,
     "Of the users whose valid and test rows are scored, drawn by their ids (default 1)", 5},
    {"write-rows", OPT_WRITE_ROWS, "N", 0, "Texts of each task that are written (default 64)", 5},
    {"max-tokens", OPT_MAX_TOKENS, "N", 0, "Of a text (default 40)", 5},
    {"encoder", OPT_ENCODER, "FILE", 0,
     "What compares texts, as `llmcf encode` takes it (default: the lexical one, fitted on what "
     "training rows expect)",
     5},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     6},
    {"force", OPT_FORCE, NULL, 0, "Also when the result is up to date", 6},
    {"json", OPT_JSON, NULL, 0, "Print report.json on stdout", 6},
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

typedef struct arguments {
    lcf_ilm_options ilm;
    bool json;
} arguments;

static error_t parse_training(int key, char *text, struct argp_state *state,
                              lcf_ilm_train_options *t)
{
    static const lcf_lr_schedule schedules[] = {LCF_LR_COSINE, LCF_LR_LINEAR, LCF_LR_CONSTANT};

    switch (key) {
    case OPT_STEPS:
        t->steps = lcf_cli_u64(state, "steps", text, 1, UINT32_MAX);
        return 0;
    case OPT_BATCH:
        t->batch_rows = (size_t)lcf_cli_u64(state, "batch", text, 1, 4096);
        return 0;
    case OPT_LR:
        t->peak_lr = (float)lcf_cli_f64(state, "lr", text, 1e-9, 10);
        return 0;
    case OPT_SCHEDULE:
        t->schedule = schedules[lcf_cli_choice(state, "schedule", text, "cosine", "linear",
                                               "constant", NULL)];
        return 0;
    case OPT_WARMUP:
        t->warmup = lcf_cli_u64(state, "warmup", text, 0, UINT32_MAX);
        return 0;
    case OPT_WEIGHT_DECAY:
        t->weight_decay = (float)lcf_cli_f64(state, "weight-decay", text, 0, 10);
        return 0;
    case OPT_CLIP:
        t->clip_norm = (float)lcf_cli_f64(state, "clip", text, 0, 1e9);
        return 0;
    case OPT_EVAL_EVERY:
        t->eval_every = lcf_cli_u64(state, "eval-every", text, 1, UINT32_MAX);
        return 0;
    case OPT_PATIENCE:
        t->patience = lcf_cli_u64(state, "patience", text, 0, UINT32_MAX);
        return 0;
    case OPT_VALID_ROWS:
        t->valid_rows = (size_t)lcf_cli_u64(state, "valid-rows", text, 1, 1 << 20);
        return 0;
    case OPT_PRECISION:
        t->precision = lcf_cli_choice(state, "precision", text, "f32", "bf16", NULL)
                           ? LCF_PRECISION_BF16
                           : LCF_PRECISION_F32;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_measures(int key, char *text, struct argp_state *state, arguments *a)
{
    lcf_ilm_options *o = &a->ilm;

    switch (key) {
    case OPT_SEEDS:
        o->seeds_n = lcf_cli_u64_list(state, "seeds", text, o->seeds, LCF_ILM_SEEDS_MAX);
        return 0;
    case OPT_SCORE_USERS:
        o->score_users = lcf_cli_f64(state, "score-users", text, 0, 1);
        return 0;
    case OPT_WRITE_ROWS:
        o->write_rows = (size_t)lcf_cli_u64(state, "write-rows", text, 0, 1 << 20);
        return 0;
    case OPT_MAX_TOKENS:
        o->tokens_max = (size_t)lcf_cli_u64(state, "max-tokens", text, 1, 4096);
        return 0;
    case OPT_ENCODER:
        o->encoder = text;
        return 0;
    case OPT_THREADS:
        o->threads = (size_t)lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    default:
        return parse_training(key, text, state, &o->train);
    }
}

static error_t parse_tasks(int key, char *text, struct argp_state *state, arguments *a)
{
    lcf_ilm_options *o = &a->ilm;
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case OPT_ARM:
        o->arm = (lcf_ilm_arms)lcf_cli_choice(state, "arm", text, LCF_ILM_ARM_NAMES[0],
                                              LCF_ILM_ARM_NAMES[1], LCF_ILM_ARM_NAMES[2],
                                              LCF_ILM_ARM_NAMES[3], NULL);
        return 0;
    case OPT_QFORMER:
        o->qformer = text;
        return 0;
    case OPT_TOKENS:
        o->tokens = (size_t)lcf_cli_u64(state, "tokens", text, 1, 256);
        return 0;
    case OPT_TASKS:
        if (lcf_ilm_weights_parse(o->tasks.weights, text, &err))
            argp_error(state, "--tasks: %s", err.text);
        return 0;
    case OPT_PROMPTS:
        o->tasks.prompts = text;
        return 0;
    case OPT_HISTORY:
        o->tasks.history_n = (size_t)lcf_cli_u64(state, "history", text, 1, LCF_HISTORY_MAX);
        return 0;
    case OPT_CUTOFF:
        o->tasks.cutoff = (size_t)lcf_cli_u64(state, "cutoff", text, 16, 1 << 20);
        return 0;
    default:
        return parse_measures(key, text, state, a);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_ilm_options *o = &a->ilm;

    switch (key) {
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_MODEL:
        o->model = text;
        return 0;
    case OPT_RANKER:
        o->ranker = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->dataset || !o->model || !o->ranker || !o->out)
            argp_error(state, "--dataset, --model, --ranker and --out are needed");
        return 0;
    default:
        return parse_tasks(key, text, state, a);
    }
}

static double figure(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_seed(const json_t *seed)
{
    const json_t *training = json_object_get(seed, "training"), *text;
    const json_t *like = json_object_get(seed, "like"), *test = json_object_get(like, "test");
    size_t i;

    fprintf(stderr, "  seed %lld", lcf_cmd_count(seed, "seed"));
    if (training)
        fprintf(stderr, ": valid loss %.4f at step %lld", figure(training, "valid_loss"),
                lcf_cmd_count(training, "best_step"));
    fprintf(stderr, "\n    test AUC %.4f, UAUC %.4f; %.1f tokens a row, %.2f s for 1,000 rows\n",
            figure(test, "auc"), figure(test, "uauc"), figure(like, "tokens_per_row"),
            figure(like, "seconds_per_1000_rows"));
    json_array_foreach(json_object_get(seed, "text"), i, text)
        fprintf(stderr, "    %-8s similarity %.4f (%.4f to %.4f), chance %.4f\n",
                json_string_value(json_object_get(text, "task")), figure(text, "similarity"),
                figure(text, "low"), figure(text, "high"), figure(text, "chance"));
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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_ILM_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *report = NULL;
    lcf_status status = lcf_cli_parse(&argp, "ilm", argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_ilm_step(&report, &current, &a.ilm, &err);
    if (!status) {
        print_summary(report, a.ilm.out, current);
        if (a.json)
            status = lcf_cmd_print_json(report, &err);
    }
    json_decref(report);
    return lcf_cli_finish("ilm", status, &err);
}
