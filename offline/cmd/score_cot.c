/*
 * llmcf score-cot: does the score tell better chains of thought from worse ones? Options only; the
 * work is in offline/recgen/rationale.h.
 */
#include "offline/recgen/rationale.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_rationale_options o;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"input", "FILE.jsonl", "Lines with a prompt and its texts, each with a reward", 1,
     LCF_OPT_TEXT(o.input), LCF_REQUIRED},
    {"splits", "N", "Random halvings whose mean is told, too (default 10)", 2,
     LCF_OPT_WHOLE(o.splits_n, 1, 1000)},
    {"replicates", "N", "Of the bootstrap over prompts (default 1000)", 2,
     LCF_OPT_WHOLE(o.replicates_n, 40, 1000000)},
    LCF_ROW_SEED(2, "(default 1)", o.seed),
    {"weights", "FILE.json",
     "Receives weights fitted on all prompts, for `llmcf generate --score-weights`", 1,
     LCF_OPT_TEXT(o.weights_out)},
    LCF_ROW_JSON(3, "the report as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Measures how well chains of thought are told apart by what can be read off them."
    "\v"
    "Weights of the features (polarity, swing, hedges, repeats, grounded, ...: "
    "offline/recgen/rationale.h) are fitted on one half of the prompts; told is how often a text "
    "of "
    "the better half of a prompt's rewards scores above one of the worse half, on the other half "
    "of "
    "the prompts, with a 95 % interval. `without` and `alone` are the same with a feature left out "
    "or by itself, as means over the halvings; `unfitted` is the score that `generate` keeps "
    "candidates by, `reasons` what it rejects. Features see texts and prompts, never rewards.\n\n"
    "Reads FILE, JSON lines of {\"prompt\": ..., \"item\": ..., \"cots\": [{\"text\": ..., "
    "\"reward\": ...}, ...]}; writes --weights, if given (schemas/score_weights.md).\n\n"
    "Example:\n"
    "  llmcf score-cot --input reason4rec_cot.jsonl --weights weights.json";

static void print_summary(const json_t *report)
{
    const json_t *bounds = json_object_get(report, "interval");

    fprintf(stderr,
            "%lld prompts: %.4f of the pairs in order [%.4f, %.4f], the best against the worst "
            "%.4f\n",
            lcf_cmd_count(report, "prompts"), lcf_cmd_real(report, "accuracy"),
            json_real_value(json_array_get(bounds, 0)), json_real_value(json_array_get(bounds, 1)),
            lcf_cmd_real(report, "best_against_worst"));
    fprintf(stderr, "  mean of the halvings %.4f, the best against the worst %.4f; unfitted %.4f\n",
            lcf_cmd_real(report, "accuracy_of_splits"),
            lcf_cmd_real(report, "best_against_worst_of_splits"), lcf_cmd_real(report, "unfitted"));
}

int lcf_cmd_score_cot(int argc, char **argv)
{
    static const lcf_options options = {"score-cot", DOC, OPTIONS, NULL, NULL};
    arguments a = {.o = LCF_RATIONALE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *report = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_rationale_measure(&report, &a.o, &err);
    if (!status)
        print_summary(report);
    return lcf_cmd_finish("score-cot", status, report, a.json, &err);
}
