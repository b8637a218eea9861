/* llmcf measure: held-out measures of any GGUF model. Options only; the work is in
 * offline/recgen/run_measure.h. */
#include "offline/recgen/run_measure.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_measure_step_options measure;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"model", "FILE.gguf", "The model", 1, LCF_OPT_TEXT(measure.model), LCF_REQUIRED},
    {"out", "DIR", "The measures; replaced in one step", 1, LCF_OPT_TEXT(measure.out),
     LCF_REQUIRED},
    {"dataset", "DIR",
     "What `llmcf prepare` made: Yes/No AUC and chain-of-thought perplexity on its valid split", 2,
     LCF_OPT_TEXT(measure.dataset)},
    {"choice", "DIR", "Multiple choice, five-shot: a folder with dev/ and val/ as MMLU's", 2,
     LCF_OPT_TEXT(measure.measure.choice_dir)},
    {"yes-no", "FILE",
     "AUC over all rows of an Alpaca file whose answers begin with Yes or No, as TALLRec's; with "
     "--chat alpaca to the byte its prompts",
     2, LCF_OPT_TEXT(measure.yes_no)},
    {"pair", "NAME",
     "Tokens that are compared: own (as the rows are written), plain (Yes, No behind a line break) "
     "or spaced (behind a word) (default own)",
     2,
     LCF_OPT_CHOICE(measure.pair, {"own", LCF_PAIR_OWN}, {"plain", LCF_PAIR_PLAIN},
                    {"spaced", LCF_PAIR_SPACED})},
    {"auc-rows", "N", "Rows at most (default 400)", 3,
     LCF_OPT_WHOLE(measure.measure.auc_rows, 0, 1u << 30)},
    {"cot-rows", "N", "Rows at most (default 120)", 3,
     LCF_OPT_WHOLE(measure.measure.cot_rows, 0, 1u << 30)},
    {"general-rows", "N", "Rows at most (default 120)", 3,
     LCF_OPT_WHOLE(measure.measure.general_rows, 0, 1u << 30)},
    {"choice-rows", "N", "Questions, over all subjects (default 0: all)", 3,
     LCF_OPT_WHOLE(measure.measure.choice_rows, 0, 1u << 30)},
    LCF_ROW_SEED(4, "As in tuning (default 1)", measure.sources.seed),
    LCF_ROW_THREADS(4, "result is", measure.threads),
    LCF_ROW_FORCE(4, "measures are", measure.force),
    LCF_ROW_JSON(4, "the measures as JSON on stdout"),
    {.help = "Whose held-out rows are measured, and how rows are written:",
     .group = 5,
     LCF_OPT_MIXTURE(measure.sources, measure.mixture)},
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

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;
    const lcf_measure_step_options *o = &a->measure;

    if (!o->dataset && !o->sources.n && !o->yes_no && !o->measure.choice_dir)
        argp_error(state, "nothing to measure: give --dataset, --source, --yes-no or --choice");
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
    static const lcf_options options = {"measure", DOC, OPTIONS, check, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    bool current = false;
    lcf_status status;

    lcf_measure_step_options_init(&a.measure);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!status)
        status = lcf_measure_step(&report, &current, &a.measure, &err);
    if (!status)
        print_summary(report, a.measure.out, current);
    return lcf_cmd_finish("measure", status, report, a.json, &err);
}
