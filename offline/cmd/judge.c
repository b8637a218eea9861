/* llmcf judge: what the language model answers for rows. Options only; the work is in
 * offline/recgen/run_judge.h. */
#include "offline/recgen/run_judge.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_MODEL,
    OPT_OUT,
    OPT_SPLITS,
    OPT_SHARE,
    OPT_SEED,
    OPT_TEMPLATE,
    OPT_HISTORY,
    OPT_PROMPT_TEMPLATE,
    OPT_CODES,
    OPT_CODE_FORM,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "Made by `llmcf prepare`", 1},
    {"model", OPT_MODEL, "FILE", 0, "A GGUF LLaMA, e.g. of `llmcf tune`", 1},
    {"out", OPT_OUT, "DIR", 0, "The judgements; replaced in one step", 1},
    {"splits", OPT_SPLITS, "LIST", 0,
     "Of train, valid and test, with commas between (default train)", 2},
    {"share", OPT_SHARE, "SHARE", 0,
     "Of the training rows; with the same seed the rows of `llmcf generate` (default 1)", 2},
    {"seed", OPT_SEED, "N", 0, "Chooses the share (default 1)", 2},
    {"template", OPT_TEMPLATE, "NAME", 0,
     "recgen: the form `llmcf tune` teaches; llama2: for larger LLaMAs (default recgen)", 2},
    {"history", OPT_HISTORY, "N", 0, "Most recent items in the prompt (default 8)", 2},
    {"prompt-template", OPT_PROMPT_TEMPLATE, "FILE", 0,
     "The question in the words of a template file (schemas/prompts.md), e.g. BinLLM's", 2},
    {"codes", OPT_CODES, "DIR", 0,
     "Made by `llmcf codes`, for a template that speaks of the user's or the target's code", 2},
    {"code-form", OPT_CODE_FORM, "FORM", 0,
     "Codes as bits (10101100...) or dotted (172.16...) (default bits)", 2},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     3},
    {"force", OPT_FORCE, NULL, 0, "Also when the result is up to date", 3},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Asks the language model, Yes or No, whether the user of a row will like its target."
    "\v"
    "The answer is a number, log p(Yes) - log p(No): what `llmcf train --distill` teaches to a "
    "ranker, and, for valid and test, what the language model alone is worth; and Yes alone, as "
    "BinLLM scores: its logit, and its log probability over all words. A row's prompt holds its "
    "history and its target, never its label.\n\n"
    "Writes DIR/judgements.lcf, manifest.json (schemas/judgements.md) and, for those splits, "
    "valid.lcf and test.lcf (Yes against No) and yes/valid.lcf and yes/test.lcf (Yes against all "
    "words): `llmcf evaluate` takes DIR or DIR/yes like a ranker's predictions. Stopped by "
    "a signal (exit code 75) or killed, it keeps what is finished in DIR.partial and goes on from "
    "there.\n\n"
    "Example:\n"
    "  llmcf judge --dataset dataset --model recgen/recgen.gguf \\\n"
    "    --splits train,valid,test --out judged\n"
    "  llmcf judge --dataset dataset --model binllm/recgen.gguf --splits test \\\n"
    "    --prompt-template offline/recgen/prompts/binllm-full-movies.prompt \\\n"
    "    --codes codes --history 10 --out judged";

typedef struct arguments {
    lcf_judge_options judge;
    bool json;
} arguments;

static void parse_splits(struct argp_state *state, lcf_judge_options *o, const char *text)
{
    memset(o->splits, 0, sizeof(o->splits));
    for (;;) {
        const size_t len = strcspn(text, ",");
        int split = 0;

        while (split < 3 &&
               (strlen(LCF_SPLIT_NAMES[split]) != len || memcmp(text, LCF_SPLIT_NAMES[split], len)))
            split++;
        if (split == 3)
            argp_error(state, "--splits takes train, valid and test, not '%s'", text);
        o->splits[split] = true;
        if (!text[len])
            return;
        text += len + 1;
    }
}

static error_t parse_prompt(int key, char *text, struct argp_state *state, lcf_judge_options *o)
{
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case OPT_TEMPLATE:
        if (lcf_dialect_parse(&o->prompt.dialect, text, &err))
            argp_error(state, "--template: %s", err.text);
        return 0;
    case OPT_HISTORY:
        o->prompt.history_n = (size_t)lcf_cli_u64(state, "history", text, 1, LCF_HISTORY_MAX);
        return 0;
    case OPT_PROMPT_TEMPLATE:
        o->template_file = text;
        return 0;
    case OPT_CODES:
        o->codes = text;
        return 0;
    case OPT_CODE_FORM:
        o->prompt.code_form =
            (lcf_code_form)lcf_cli_choice(state, "code-form", text, "bits", "dotted", NULL);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_judge_options *o = &a->judge;

    switch (key) {
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_MODEL:
        o->model = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case OPT_SPLITS:
        parse_splits(state, o, text);
        return 0;
    case OPT_SHARE:
        o->share = lcf_cli_f64(state, "share", text, 1e-9, 1.0);
        return 0;
    case OPT_SEED:
        o->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
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
    case ARGP_KEY_END:
        if (!o->dataset || !o->model || !o->out)
            argp_error(state, "--dataset, --model and --out are needed");
        return 0;
    default:
        return parse_prompt(key, text, state, o);
    }
}

static void print_summary(const json_t *stats, const char *out, bool current)
{
    fprintf(stderr, "%s:\n", out);
    for (int split = 0; split < 3; split++) {
        const json_t *s = json_object_get(stats, LCF_SPLIT_NAMES[split]);
        const json_t *auc = json_object_get(json_object_get(s, "difference"), "auc");
        const json_t *uauc = json_object_get(json_object_get(s, "difference"), "uauc");

        if (!lcf_cmd_count(s, "rows"))
            continue;
        fprintf(stderr, "  %-5s %8lld rows", LCF_SPLIT_NAMES[split], lcf_cmd_count(s, "rows"));
        if (json_is_number(auc))
            fprintf(stderr, ", AUC %.4f", json_number_value(auc));
        if (json_is_number(uauc))
            fprintf(stderr, ", UAUC %.4f", json_number_value(uauc));
        fprintf(stderr, ", %.1f tokens each\n",
                json_number_value(json_object_get(s, "tokens_per_row")));
    }
    if (!current && lcf_cmd_count(stats, "asked"))
        fprintf(stderr, "  %.2f s for 1,000 rows\n",
                json_number_value(json_object_get(stats, "seconds_per_1000_rows")));
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_judge(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_JUDGE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "judge", argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_judge_step(&stats, &current, &a.judge, &err);
    if (!status) {
        print_summary(stats, a.judge.out, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("judge", status, &err);
}
