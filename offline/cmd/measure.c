/* llmcf measure: held-out measures of any GGUF model. Options only; the work is in
 * offline/recgen/run_measure.h. */
#include "offline/recgen/run_measure.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum {
    OPT_MODEL = 0x100,
    OPT_DATASET,
    OPT_OUT,
    OPT_CHOICE,
    OPT_CHOICE_ROWS,
    OPT_YES_NO,
    OPT_PAIR,
    OPT_AUC_ROWS,
    OPT_COT_ROWS,
    OPT_GENERAL_ROWS,
    OPT_SEED,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"model", OPT_MODEL, "FILE.gguf", 0, "The model", 1},
    {"out", OPT_OUT, "DIR", 0, "The measures; replaced in one step", 1},
    {"dataset", OPT_DATASET, "DIR", 0,
     "What `llmcf prepare` made: Yes/No AUC and chain-of-thought perplexity on its valid split", 2},
    {"choice", OPT_CHOICE, "DIR", 0,
     "Multiple choice, five-shot: a folder with dev/ and val/ as MMLU's", 2},
    {"yes-no", OPT_YES_NO, "FILE", 0,
     "AUC over all rows of an Alpaca file whose answers begin with Yes or No, as TALLRec's; with "
     "--chat alpaca to the byte its prompts",
     2},
    {"pair", OPT_PAIR, "NAME", 0,
     "Tokens that are compared: own (as the rows are written), plain (Yes, No behind a line break) "
     "or spaced (behind a word) (default own)",
     2},
    {"auc-rows", OPT_AUC_ROWS, "N", 0, "Rows at most (default 400)", 3},
    {"cot-rows", OPT_COT_ROWS, "N", 0, "Rows at most (default 120)", 3},
    {"general-rows", OPT_GENERAL_ROWS, "N", 0, "Rows at most (default 120)", 3},
    {"choice-rows", OPT_CHOICE_ROWS, "N", 0, "Questions, over all subjects (default 0: all)", 3},
    {"seed", OPT_SEED, "N", 0, "As in tuning (default 1)", 4},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     4},
    {"force", OPT_FORCE, NULL, 0, "Also when the measures are up to date", 4},
    {"json", OPT_JSON, NULL, 0, "Print the measures as JSON on stdout", 4},
    {0},
};

static const char DOC[] =
    "Measures what a language model can do, on rows that it was not tuned on: before tuning, after "
    "it, or somebody else's model."
    "\v"
    "Writes OUT/measures.json (schemas/measures.md) and, with --yes-no, the scores of every row as "
    "OUT/yes_no.tsv, which `llmcf evaluate` reads. Given the sources and the seed of a tuning run, "
    "general perplexity is over the rows that the run held out.\n\n"
    "Examples:\n"
    "  llmcf measure --model recgen/recgen.gguf --dataset dataset --out measured \\\n"
    "    --source decide --source alpaca:alpaca.json --choice mmlu\n"
    "  llmcf measure --model base.gguf --out measured --chat alpaca \\\n"
    "    --yes-no movie_test.json --pair plain";

typedef struct arguments {
    lcf_measure_step_options measure;
    lcf_mixture_arguments mixture;
    bool json;
} arguments;

#define ROWS(option) (size_t) lcf_cli_u64(state, option, text, 0, 1u << 30)

static error_t parse_rows(int key, char *text, struct argp_state *state, lcf_measure_options *o)
{
    switch (key) {
    case OPT_CHOICE:
        o->choice_dir = text;
        return 0;
    case OPT_CHOICE_ROWS:
        o->choice_rows = ROWS("choice-rows");
        return 0;
    case OPT_AUC_ROWS:
        o->auc_rows = ROWS("auc-rows");
        return 0;
    case OPT_COT_ROWS:
        o->cot_rows = ROWS("cot-rows");
        return 0;
    case OPT_GENERAL_ROWS:
        o->general_rows = ROWS("general-rows");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_measure_step_options *o = &a->measure;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->mixture;
        return 0;
    case OPT_MODEL:
        o->model = text;
        return 0;
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case OPT_YES_NO:
        o->yes_no = text;
        return 0;
    case OPT_PAIR:
        o->pair =
            (lcf_yes_no_pair)lcf_cli_choice(state, "pair", text, "own", "plain", "spaced", NULL);
        return 0;
    case OPT_SEED:
        o->sources.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
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
        if (!o->model || !o->out)
            argp_error(state, "--model and --out are needed");
        if (!o->dataset && !o->sources.n && !o->yes_no && !o->measure.choice_dir)
            argp_error(state, "nothing to measure: give --dataset, --source, --yes-no or --choice");
        return 0;
    default:
        return parse_rows(key, text, state, &o->measure);
    }
}

/* A measure, where there is one. */
static void print_one(const char *name, const json_t *value)
{
    if (json_is_number(value))
        fprintf(stderr, "  %-22s %10.4f\n", name, json_number_value(value));
}

static void print_summary(const json_t *report, const char *out, bool current)
{
    const json_t *m = json_object_get(report, "measures"), *choice = json_object_get(m, "choice"),
                 *yes_no = json_object_get(report, "yes_no");

    fprintf(stderr, "%s:%s\n", out,
            current ? " up to date, nothing done (--force makes it again)" : "");
    print_one("Yes/No AUC", json_object_get(m, "auc"));
    print_one("CoT perplexity", json_object_get(m, "cot_perplexity"));
    print_one("general perplexity", json_object_get(m, "general_perplexity"));
    print_one("general bits per byte", json_object_get(m, "general_bits_per_byte"));
    print_one("multiple choice", json_object_get(choice, "accuracy"));
    if (choice)
        fprintf(stderr, "  %-22s %10.4f .. %.4f\n", "  of guessing, 95 %",
                json_number_value(json_object_get(choice, "chance_low")),
                json_number_value(json_object_get(choice, "chance_high")));
    print_one("AUC, published", json_object_get(yes_no, "auc_published"));
    print_one("AUC, logit difference", json_object_get(yes_no, "auc_difference"));
}

int lcf_cmd_measure(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&LCF_MIXTURE_ARGP, 0, "Whose held-out rows are measured, and how rows are written:", 5},
        {0}};
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, children, NULL, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    lcf_measure_step_options_init(&a.measure);
    a.mixture = (lcf_mixture_arguments){&a.measure.sources, &a.measure.mixture};
    status = lcf_cli_parse(&argp, "measure", argc, argv, &a, &err);
    if (!status)
        status = lcf_measure_step(&report, &current, &a.measure, &err);
    if (!status) {
        print_summary(report, a.measure.out, current);
        if (a.json)
            status = lcf_cmd_print_json(report, &err);
    }
    json_decref(report);
    return lcf_cli_finish("measure", status, &err);
}
